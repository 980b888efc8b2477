"""Pictures of the live page: one a part, drawn once, within a budget."""

import asyncio
import io

import numpy as np
from PIL import Image
from tests.unit.made.line_messages import result
from tests.unit.made.made_maps import maps_of

from cmfm_hmi.board.pictures import KEPT, PASSES_A_SECOND, SIDE_PX, LivePictures, draw
from cmfm_hmi.line.live_line import MAPS_KEPT, LiveLine
from cmfm_protocol.wire.verdict import Verdict


def test_a_picture_is_drawn_once_for_all_browsers() -> None:
    """A hundred requests at once cost one drawing; a part without maps has none; old pictures are dropped."""

    async def scenario() -> None:
        live = LiveLine()
        pictures = LivePictures(live)
        part = result(0, Verdict.FAIL)
        live.keep_maps(maps_of(part, defect=True))
        found = await asyncio.gather(*(pictures.find(("boot", 1)) for _ in range(100)))
        assert len(set(found)) == 1
        assert found[0] is not None
        assert pictures.drawn == 1
        assert await pictures.find(("boot", 2)) is None
        for number in range(1, KEPT + 20):
            live.keep_maps(maps_of(result(number)))
            assert await pictures.find(("boot", number + 1)) is not None
        assert len(pictures._pictures) == KEPT
        assert len(live._maps) == MAPS_KEPT
        await pictures.close()

    asyncio.run(scenario())


def test_the_picture_shows_regions_depth_and_heat() -> None:
    """Three squares in a row; a defect is outlined in magenta in the first and third, and nothing is on a good part."""
    for defect in (False, True):
        part = result(0, Verdict.FAIL if defect else Verdict.PASS)
        image = Image.open(io.BytesIO(draw(maps_of(part, defect=defect))))
        assert image.size == (3 * SIDE_PX, SIDE_PX)
        pixels = np.asarray(image).astype(int)
        magenta = (pixels[..., 0] > 200) & (pixels[..., 1] < 110) & (pixels[..., 2] > 140)
        left, middle, right = (magenta[:, side * SIDE_PX : (side + 1) * SIDE_PX].sum() for side in range(3))
        assert (left > 50, middle, right > 50) == (defect, 0, defect)


def test_a_fast_line_draws_all_rejects_and_some_passes() -> None:
    """Drawing has a budget: parts that passed go without a picture first. An answer never changes."""
    now_s = 0.0
    pictures = LivePictures(LiveLine(), lambda: now_s)
    passes = [pictures.admits(("boot", number), Verdict.PASS) for number in range(50)]
    assert sum(passes) == PASSES_A_SECOND
    assert all(pictures.admits(("boot", 100 + number), Verdict.FAIL) for number in range(20))
    now_s = 1.0
    assert pictures.admits(("boot", 200), Verdict.PASS)
    assert not pictures.admits(("boot", 49), Verdict.PASS)

"""One picture a part for the live page: the picture with its defect regions, depth, and Ψ over the picture, in a row.

Drawn from the part's maps in one thread, once for all browsers, when the first of them asks for it.
"""

import asyncio
import io
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmfm_hmi.line.live_line import MAPS_KEPT, Key, LiveLine
from cmfm_protocol.pictures.overlay import as_scored, depth_picture, heat_over_rgb, outline
from cmfm_protocol.pictures.panels import OUTLINE
from cmfm_protocol.pictures.region_floor import region_floor
from cmfm_protocol.wire.anomaly_map import AnomalyMaps
from cmfm_protocol.wire.verdict import Verdict

SIDE_PX: Final = 336
"""One and a half map pixels each: outlines are smooth, and three of them fit a tablet."""

QUALITY: Final = 85
RIM_PX: Final = 2
KEPT: Final = 2 * MAPS_KEPT
PASSES_A_SECOND: Final = 8.0
"""Pictures of parts that passed, at most. Rejected ones always have theirs. Drawing takes some 20 ms of a core."""


class LivePictures:
    """JPEG pictures of the newest parts, by key."""

    def __init__(self, live: LiveLine, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._live = live
        self._clock_s = clock_s
        self._pictures: OrderedDict[Key, bytes] = OrderedDict()
        self._drawing: dict[Key, asyncio.Task[bytes | None]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._allowance, self._counted_s = PASSES_A_SECOND, clock_s()
        self._admitted: OrderedDict[Key, bool] = OrderedDict()
        self.drawn = 0

    def admits(self, key: Key, verdict: Verdict) -> bool:
        """Tell whether a part gets a picture; on a fast line some that passed get none. The answer never changes."""
        if (known := self._admitted.get(key)) is not None:
            return known
        now_s = self._clock_s()
        earned = (now_s - self._counted_s) * PASSES_A_SECOND
        self._allowance, self._counted_s = min(self._allowance + earned, PASSES_A_SECOND), now_s
        admitted = verdict is not Verdict.PASS or self._allowance >= 1
        self._allowance -= admitted and verdict is Verdict.PASS
        self._admitted[key] = admitted
        while len(self._admitted) > KEPT:
            self._admitted.popitem(last=False)
        return admitted

    async def find(self, key: Key) -> bytes | None:
        """Return the picture of a part as JPEG; None if its maps did not come or were replaced by newer ones."""
        if (picture := self._pictures.get(key)) is not None:
            return picture
        if (task := self._drawing.get(key)) is None:
            maps = self._live.maps(key)
            if maps is None:
                return None
            task = self._drawing[key] = asyncio.create_task(self._draw(key, maps))
            task.add_done_callback(lambda _: self._drawing.pop(key, None))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End the thread and those who wait for it."""
        drawing = list(self._drawing.values())
        for task in drawing:
            task.cancel()
        if drawing:
            await asyncio.wait(drawing)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _draw(self, key: Key, maps: AnomalyMaps) -> bytes:
        picture = await asyncio.get_running_loop().run_in_executor(self._pool, draw, maps)
        self.drawn += 1
        self._pictures[key] = picture
        while len(self._pictures) > KEPT:
            self._pictures.popitem(last=False)
        return picture


def draw(maps: AnomalyMaps) -> bytes:
    """Draw a part: picture, depth, Ψ over the picture, each `SIDE_PX` wide. Returns JPEG."""
    psi = np.nan_to_num(as_scored(np.asarray(maps.psi, dtype=np.float32), maps.score))
    rim = region_rim(psi, maps.threshold)
    heated = heat_over_rgb(maps.rgb, psi, maps.threshold, maps.foreground)
    row = Image.new("RGB", (3 * SIDE_PX, SIDE_PX))
    for place, (tile, shows_rim) in enumerate(
        ((maps.rgb, True), (depth_picture(maps.depth)[0], False), (heated, True))
    ):
        image = Image.fromarray(tile).resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
        if rim is not None and shows_rim:
            image.paste(OUTLINE, mask=rim)
        row.paste(image, (place * SIDE_PX, 0))
    buffer = io.BytesIO()
    row.save(buffer, "JPEG", quality=QUALITY, subsampling=0)  # colour at full size: outlines are thin
    return buffer.getvalue()


def region_rim(psi: NDArray[np.float32], threshold: float | None) -> Image.Image | None:
    """Return the outlines of defect regions (`region_floor`) as a mask of `SIDE_PX`; None if there is no region."""
    if threshold is None or threshold <= 0 or psi.max() < threshold:
        return None
    share = Image.fromarray((psi / region_floor(psi, threshold)).astype(np.float32))
    enlarged = np.asarray(share.resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR))
    return Image.fromarray(outline(enlarged >= 1.0, RIM_PX))

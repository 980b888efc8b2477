"""Frames whose content is not that of nominal parts: limits are learned from nominal frames, and frames are compared.

Made-up products of both families, at the level of frames: the same preparation and comparison as on the line, without
networks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.unit.made.nominal_frames import PRODUCTS, NominalFrames, nominal_frames
from tests.unit.made.scenes import (
    SIDE_PX,
    Scene,
    emptied,
    enlarged,
    shifted,
    turned,
    unmeasured,
    with_block,
    without_quadrant,
)

from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.inspection.inspector import find_problems
from cmfm_worker.inspection.measures import measure_frames
from cmfm_worker.recipes.limits_section import LimitsSection
from cmfm_worker.recipes.sections import CoverageSection
from cmfm_worker.teaching.content_limits import content_limits


def found(product: str, change: Callable[[Scene], Scene]) -> Reason | None:
    limits = nominal_frames(product)
    deviating = limits.compare(change(limits.good[0]))
    return None if deviating is None else deviating.reason


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize(
    "change",
    [
        lambda of: of,
        lambda of: turned(of, 180),
        lambda of: turned(of, 7),
        lambda of: shifted(of, 3, -3),
        lambda of: unmeasured(of, np.roll(of.part, (6, 6), (0, 1)) & ~of.part),
        lambda of: with_block(of, slice(20, 25), slice(20, 25), 8.0),
    ],
    ids=["as it is", "turned round", "turned a little", "moved a little", "shadow", "fluff"],
)
def test_good_part_in_a_nominal_pose_keeps_all_limits(product: str, change: Callable[[Scene], Scene]) -> None:
    """Poses as nominal parts have them, a shadow without 3D beside the part, and fluff change nothing."""
    assert found(product, change) is None
    assert nominal_frames(product).compare(nominal_frames(product).good[1]) is None


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("broken", [True, False], ids=["broken off", "not measured"])
@pytest.mark.parametrize("down", [True, False])
@pytest.mark.parametrize("right", [True, False])
def test_missing_quadrant(product: str, broken: bool, down: bool, right: bool) -> None:
    """A quarter of the part that is gone or not measured, whichever it is."""
    assert found(product, lambda of: without_quadrant(of, down, right, broken=broken)) is Reason.LOW_COVERAGE


def _to_edge(of: Scene, side: str, share: float) -> Scene:
    """Move the part so far that this share of its extent has left the picture."""
    rows, columns = of.box
    out_px = round(
        share * ((rows.stop - rows.start) if side in ("top", "bottom") else columns.stop - columns.start)
    )
    moves = {
        "top": (-rows.start - out_px, 0),
        "bottom": (SIDE_PX - rows.stop + out_px, 0),
        "left": (0, -columns.start - out_px),
        "right": (0, SIDE_PX - columns.stop + out_px),
    }
    return shifted(of, *moves[side])


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_part_at_or_over_an_edge(product: str, side: str, share: float) -> None:
    """Touching an edge is enough where no nominal part does; the reason is the cause, not the missing area."""
    assert found(product, lambda of: _to_edge(of, side, share)) is Reason.OUT_OF_VIEW


@pytest.mark.parametrize("product", ["biscuit", "gear"])
@pytest.mark.parametrize(
    ("rows", "columns"),
    [(slice(40, 180), slice(4, 24)), (slice(8, 28), slice(8, 28)), (slice(200, 215), slice(60, 160))],
)
def test_second_piece_on_the_tray(product: str, rows: slice, columns: slice) -> None:
    """Something beside the part, far smaller than it too, although it is not inspected."""
    assert found(product, lambda of: with_block(of, rows, columns, 15.0)) is Reason.UNEXPECTED_PIECE


def test_missing_piece_of_several() -> None:
    """A fruit that is not in the tray."""

    def without_one(of: Scene) -> Scene:
        rows, columns = of.box
        third = (columns.stop - columns.start) // 3
        where = np.zeros_like(of.part)
        where[rows.start : (rows.start + rows.stop) // 2, columns.start : columns.start + third] = True
        return emptied(of, where)

    assert found("fruit", without_one) is Reason.LOW_COVERAGE


@pytest.mark.parametrize("product", PRODUCTS)
def test_part_twice_as_near(product: str) -> None:
    """It leaves the picture, or is too large; half as near it is too small."""
    assert found(product, lambda of: enlarged(of, 2.0)) in (Reason.OUT_OF_VIEW, Reason.HIGH_COVERAGE)
    assert found(product, lambda of: enlarged(of, 0.5)) is Reason.LOW_COVERAGE


def test_part_that_is_larger_in_the_middle_of_the_picture() -> None:
    """A larger product that fits into the picture, or two parts that touch each other, are too much of a part."""
    middle = nominal_frames("gear")
    wide = enlarged(enlarged(middle.good[0], 0.5), 1.0)
    small = NominalFrames(middle.background, CoverageSection(nominal_median_px=1), LimitsSection(), ())
    (part,) = measure_frames(small.prepared(wide))
    coverage, limits = content_limits(part.area_px, [part] * 10, [])
    limits_of_small = NominalFrames(
        middle.background, coverage, limits.model_copy(update={"edge_px": None}), ()
    )
    assert limits_of_small.compare(wide) is None
    larger = limits_of_small.compare(enlarged(wide, 1.2))
    assert larger is not None
    assert larger.reason is Reason.HIGH_COVERAGE
    rows, columns = wide.box
    twin = with_block(wide, rows, slice(columns.stop - 4, columns.stop + 60), 12.0)
    touching = limits_of_small.compare(twin)
    assert touching is not None
    assert touching.reason is Reason.HIGH_COVERAGE


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize(
    ("rows", "columns"),
    [(slice(100, 224), slice(90, 140)), (slice(0, 120), slice(90, 140)), (slice(90, 140), slice(110, 224))],
)
def test_hand_in_the_picture(product: str, rows: slice, columns: slice) -> None:
    """A hand that reaches over the part."""
    assert found(product, lambda of: with_block(of, rows, columns, 45.0)) is Reason.OUT_OF_VIEW


def test_frame_without_3d_in_a_half_or_at_a_side() -> None:
    """Half a part tells that 3D is missing, not that the field is smaller; a part at the field's end is out of view."""

    def measured_from(of: Scene, row: int) -> Scene:
        return unmeasured(of, np.broadcast_to(np.arange(SIDE_PX)[:, None] < row, of.part.shape))

    assert found("gear", lambda of: measured_from(of, SIDE_PX // 2)) is Reason.LOW_COVERAGE
    for product in PRODUCTS:
        assert found(product, lambda of: measured_from(of, of.box[0].start)) is Reason.OUT_OF_VIEW
        assert found(product, lambda of: measured_from(of, SIDE_PX // 2)) is not None


def test_empty_tray_is_not_inspected() -> None:
    """There is no part to compare: a FAULT, as before."""
    limits = nominal_frames("gear")
    (problem,) = find_problems(limits.prepared(emptied(limits.good[0])), 200)
    assert problem is not None
    assert problem.reason is Reason.TOO_FEW_POINTS

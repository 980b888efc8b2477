"""The checks that keep a wrong capture off the wire."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.made.scripted_device import capture

from cmfm_cameras.capture import SAMPLE_POINTS, check_capture
from cmfm_cameras.errors import Refusal, RefusedCaptureError


def refusal(**changes: Any) -> Refusal | None:
    """The reason, None for a capture that may be published."""
    try:
        check_capture(replace(capture(7, lost_before=2), **changes))
    except RefusedCaptureError as error:
        return error.reason
    return None


def test_a_refused_capture_s_number_is_used() -> None:
    """The refusal carries what the numbering needs."""
    with pytest.raises(RefusedCaptureError, match="expected") as refused:
        check_capture(replace(capture(7, lost_before=2), rgb=np.zeros((8, 8), np.uint8)))
    assert (refused.value.frame_id, refused.value.lost_before) == (7, 2)


def points(*, z: float, rows: int = 8) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.full((rows, 8, 3), z, np.float32)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"xyz": points(z=0.3, rows=7)}, Refusal.NOT_REGISTERED),
        ({"xyz": points(z=300.0)}, Refusal.NOT_METRES),  # millimetres that say metres
        ({"xyz": points(z=0.0005)}, Refusal.NOT_METRES),
        ({"xyz": points(z=-0.4)}, Refusal.NOT_METRES),  # z towards the sensor
        ({"xyz": points(z=0.0)}, Refusal.NOT_METRES),  # missing points that were not marked
        ({"xyz": points(z=np.nan)}, Refusal.NOTHING_MEASURED),
        ({"xyz": points(z=np.inf)}, Refusal.NOTHING_MEASURED),
        ({"xyz": points(z=19.0)}, None),
        ({"xyz": points(z=0.5).astype(np.float64)}, Refusal.INVALID),
        ({"xyz": points(z=0.5)[..., 0]}, Refusal.INVALID),
        ({"rgb": np.zeros((8, 8, 4), np.uint8)}, Refusal.INVALID),
        ({"rgb": np.zeros((8, 8, 3), np.uint16)}, Refusal.INVALID),
        ({"rgb": np.zeros((0, 8, 3), np.uint8)}, Refusal.INVALID),
        ({"part_id": "two\nlines"}, Refusal.INVALID),
        ({"part_id": "ü" * 129}, Refusal.INVALID),
        ({"part_id": "ü" * 128}, None),
    ],
)
def test_a_capture_that_cannot_be_right_is_refused(changes: dict[str, Any], reason: Refusal | None) -> None:
    """Each check has its own reason, which the log and a metric name."""
    assert refusal(**changes) is reason


def test_one_measured_point_among_millions_is_something_measured() -> None:
    """The sample may miss what little there is; then all points count."""
    side = 2 * int(SAMPLE_POINTS**0.5) + 3
    xyz = np.full((side, side, 3), np.nan, np.float32)
    xyz[1, 1] = 0.4
    assert refusal(rgb=np.zeros((side, side, 3), np.uint8), xyz=xyz) is None
    xyz[1, 1] = 400.0
    assert refusal(rgb=np.zeros((side, side, 3), np.uint8), xyz=xyz) is Refusal.NOT_METRES


def test_a_few_far_points_are_no_millimetres() -> None:
    """A look through a gap into the hall does not stop the line; the median decides."""
    xyz = points(z=0.5)
    xyz[:2] = 60.0
    assert refusal(xyz=xyz) is None

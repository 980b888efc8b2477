"""Values that the tests of the wire start from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cmfm_protocol import AnomalyMaps, FrameHeader, Reason, Result, Verdict

VECTORS = Path(__file__).parents[2] / "vectors"


@pytest.fixture
def golden() -> Callable[[str], list[bytes]]:
    """The message frames of a golden message by its file's name."""
    return lambda name: [
        bytes.fromhex(line) for line in (VECTORS / f"{name}.hex").read_text(encoding="ascii").splitlines()
    ]


@pytest.fixture
def header() -> FrameHeader:
    return FrameHeader(
        stream_uuid="camera-boot-1", seq=7, part_id="p7", trigger_ns=1_000, deadline_ms=100.0, recipe="bagel"
    )


@pytest.fixture
def passed() -> Result:
    """A result that is a PASS by every rule."""
    return Result(
        result_id=1,
        boot_id="boot",
        stream_uuid="camera-boot-1",
        seq=7,
        part_id="p7",
        verdict=Verdict.PASS,
        reason=Reason.BELOW_THRESHOLD,
        detail="",
        score=0.25,
        threshold=0.5,
        recipe="bagel",
        model_sha="ab",
        calib_id="",
        trigger_ns=1_000,
        received_ns=2_000,
        done_ns=3_000,
        latency_us=2,
        deadline_met=True,
        simulated=False,
        queue_free=4,
        drops_total=0,
        coverage=1.0,
        peak_px=(3, 4),
        peak_xyz_m=(0.0, 0.1, 0.5),
        regions=(),
        map_ref="",
    )


@pytest.fixture
def maps() -> AnomalyMaps:
    ramp = np.linspace(0, 1, 224 * 224, dtype=np.float32).reshape(224, 224)
    return AnomalyMaps(
        map_ref="boot/1",
        result_id=1,
        boot_id="boot",
        stream_uuid="camera-boot-1",
        seq=7,
        part_id="p7",
        recipe="bagel",
        threshold=0.5,
        score=0.25,
        verdict=Verdict.PASS,
        psi=ramp,
        psi_2d=ramp.astype(np.float16),
        psi_3d=ramp * 2,
        rgb=np.arange(224 * 224 * 3, dtype=np.uint32).astype(np.uint8).reshape(224, 224, 3),
        depth=ramp + 0.5,
        foreground=ramp > 0.5,
    )

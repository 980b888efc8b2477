"""One trigger from its announcement to its verdict: the values that travel between the threads."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.wire.frame import Frame
from cmfm_protocol.wire.result import Region
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.recipes.registry import ActiveRecipe

LineRecipe = ActiveRecipe[Inspector]
"""A recipe and the inspector that it runs on, fixed for a frame when it is admitted."""


class TriggerKey(NamedTuple):
    """What makes a trigger unique: the camera's boot and its count (WIRE.md, sequence)."""

    stream_uuid: str
    seq: int


@dataclass(frozen=True, slots=True)
class Trigger:
    """One announced part that owes a verdict. `received_ns` is None where nothing of its frame arrived."""

    key: TriggerKey
    part_id: str
    recipe: str
    calib_id: str
    trigger_ns: int  # CLOCK_REALTIME
    received_ns: int | None  # CLOCK_REALTIME
    deadline_ns: int  # CLOCK_MONOTONIC
    simulated: bool
    # As received, where it could be read: held until the verdict is recorded.
    frame: Frame | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class PartMaps:
    """What the map socket shows of one part: all (224, 224), rgb (224, 224, 3)."""

    psi: NDArray[np.float32]
    psi_2d: NDArray[np.float32]
    psi_3d: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]  # metres, 0 = invalid
    foreground: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Decision:
    """What was found out about one part, before the deadline has its say."""

    verdict: Verdict
    reason: Reason
    detail: str = ""
    score: float | None = None
    threshold: float | None = None
    model_sha: str = ""
    coverage: float | None = None
    peak_px: tuple[int, int] | None = None
    peak_xyz_m: tuple[float, float, float] | None = None
    regions: tuple[Region, ...] = ()
    maps: PartMaps | None = None
    recipe_sha: str = ""  # of the recipe.toml it was decided by
    batch: int = 1  # parts computed together with it, itself included


def fault(reason: Reason, detail: str = "", *, model_sha: str = "") -> Decision:
    """The decision for a part that was not inspected."""
    return Decision(verdict=Verdict.FAULT, reason=reason, detail=detail, model_sha=model_sha)


@dataclass(frozen=True, slots=True)
class Opened:
    """A trigger became known; it owes a verdict by its deadline, or has its `decision` already."""

    trigger: Trigger
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Arrived:
    """The frame of a trigger opened before, which says all of `trigger`, or what became of it: its `decision`."""

    trigger: Trigger
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """A trigger's decision. The first one counts; the desk publishes it or, past the deadline, a FAULT.

    `noticed`: what is counted beside it, if anything.
    """

    key: TriggerKey
    decision: Decision
    noticed: str = ""


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something counted that is no trigger of its own: a duplicate, a frame after its FAULT, clock skew."""

    what: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class SourceChanged:
    """A camera endpoint came up or went down."""

    endpoint: str
    alive: bool


@dataclass(frozen=True, slots=True)
class SourceSeen:
    """A camera endpoint has sent something of a stream."""

    endpoint: str
    stream_uuid: str


BookEvent = Opened | Arrived | Closed | Noticed | SourceChanged | SourceSeen

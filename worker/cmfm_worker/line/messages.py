"""Messages between the threads of the line: triggers, decisions, and the events of the verdict book."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.wire.frame import Frame
from cmfm_protocol.wire.result import Region
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.recipes.drift import DriftMonitor
from cmfm_worker.recipes.registry import ActiveRecipe

LineRecipe = ActiveRecipe[Inspector]
"""A recipe and its inspector. A frame keeps those that are active when it is admitted."""


class TriggerKey(NamedTuple):
    """Identity of a trigger: the camera's stream and its sequence number (WIRE.md, sequence)."""

    stream_uuid: str
    seq: int


@dataclass(frozen=True, slots=True)
class Trigger:
    """One part that must get a verdict. `received_ns` is None if nothing of its frame has arrived."""

    key: TriggerKey
    part_id: str
    recipe: str
    calib_id: str
    trigger_ns: int  # CLOCK_REALTIME
    received_ns: int | None  # CLOCK_REALTIME
    deadline_ns: int  # CLOCK_MONOTONIC
    simulated: bool
    camera: str = ""  # its name; "" if the stream has not been heard
    remark: str = ""  # for the detail of its result, whatever the decision
    # As received, None if it could not be read. Held until the verdict is recorded.
    frame: Frame | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class PartMaps:
    """The maps of one part for the map socket: all (224, 224), rgb (224, 224, 3)."""

    psi: NDArray[np.float32]
    psi_2d: NDArray[np.float32]
    psi_3d: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]  # metres, 0 = invalid
    foreground: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict on one part, before the verdict book has compared it with the deadline."""

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
    recipe_sha: str = ""  # of the recipe.toml that decided it
    batch: int = 1  # parts computed together, this one included
    # The window that this part belongs to; None if it is not compared with nominal parts.
    drift: DriftMonitor | None = field(default=None, compare=False, repr=False)
    # The decision if a trigger message names this calibration for a frame that named none.
    by_calibration: "Mapping[str, Decision]" = field(default_factory=dict)

    def for_calibration(self, calib_id: str) -> "Decision":
        """Return the decision on a part of which all messages together name this calibration."""
        other = self.by_calibration.get(calib_id)
        return self if other is None else replace(other, recipe_sha=self.recipe_sha, batch=self.batch)

    def as_drifted(self) -> "Decision":
        """Return the decision while the recipe's parts drift and it says undecided: PASS becomes UNDECIDED."""
        if self.verdict is not Verdict.PASS:
            return self
        detail = self.drift.state.in_words() if self.drift else ""
        return replace(self, verdict=Verdict.UNDECIDED, reason=Reason.DRIFT, detail=detail)


def fault(reason: Reason, detail: str = "", *, model_sha: str = "") -> Decision:
    """Make the decision for a part that was not inspected."""
    return Decision(verdict=Verdict.FAULT, reason=reason, detail=detail, model_sha=model_sha)


@dataclass(frozen=True, slots=True)
class Opened:
    """A trigger became known. Its verdict is due at its deadline, or now if it comes with a `decision`."""

    trigger: Trigger
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Arrived:
    """The frame of an open trigger arrived. `trigger` holds what it says; `decision` is set if it was refused."""

    trigger: Trigger
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class Amended:
    """A further message named a trigger whose frame may have arrived. `trigger` holds what all of them say together."""

    trigger: Trigger


@dataclass(frozen=True, slots=True)
class Contradicted:
    """Two messages about one trigger contradict each other. It is closed with `decision`, a FAULT, if it is open."""

    key: TriggerKey
    decision: Decision


@dataclass(frozen=True, slots=True)
class Closed:
    """The decision on an open trigger. The first one counts; after the deadline it becomes a FAULT.

    `noticed`, if not empty, is counted beside the verdict.
    """

    key: TriggerKey
    decision: Decision
    noticed: str = ""


@dataclass(frozen=True, slots=True)
class Noticed:
    """An event that is counted and is no trigger of its own: a duplicate, a frame after its FAULT, clock skew."""

    what: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class SourceChanged:
    """A camera endpoint connected or disconnected; `closed` if the camera had announced its end."""

    endpoint: str
    alive: bool
    closed: bool = False


@dataclass(frozen=True, slots=True)
class SourceSeen:
    """A camera endpoint sent a message of this stream; `frame` if it was a readable frame."""

    endpoint: str
    stream_uuid: str
    frame: bool = False


BookEvent = Opened | Arrived | Amended | Contradicted | Closed | Noticed | SourceChanged | SourceSeen
"""Events that other threads post to the verdict thread."""

"""One device's share of a trigger, and what becomes of it."""

from dataclasses import dataclass
from enum import StrEnum

from cmfm_cameras.capture import Capture


class Side(StrEnum):
    """The two devices."""

    PICTURE = "picture"
    DEPTH = "depth"

    @property
    def other(self) -> "Side":
        """The other device."""
        return Side.DEPTH if self is Side.PICTURE else Side.PICTURE


@dataclass(frozen=True, slots=True, eq=False)
class Half:
    """A capture of one of the devices, and when it arrived (CLOCK_MONOTONIC)."""

    side: Side
    capture: Capture
    arrived_ns: int

    @property
    def device_ns(self) -> int | None:
        """Time of the exposure, by the synchronised clock if there is one, else by the device's own."""
        return self.capture.device_ns if self.capture.trigger_ns is None else self.capture.trigger_ns

    @property
    def is_synchronised(self) -> bool:
        """Tell whether its time is CLOCK_REALTIME."""
        return self.capture.trigger_ns is not None


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Both halves of one trigger. `lost_before` triggers were lost by both devices since the one before."""

    picture: Half
    depth: Half
    lost_before: int = 0


class Cause(StrEnum):
    """Why a half has no partner."""

    MISSING = "missing"  # the other device has none of this trigger
    SHIFTED = "shifted"  # numbers and times name different partners
    UNKNOWN_START = "unknown_start"  # nothing tells yet which halves belong together
    UNUSABLE = "unusable"  # it lacks the number or time that the rule needs
    TOO_DENSE = "too_dense"  # triggers follow one another faster than the window can tell apart


@dataclass(frozen=True, slots=True, eq=False)
class Single:
    """One trigger without a pair: a half, or two that do not belong together for sure."""

    half: Half
    cause: Cause
    detail: str
    lost_before: int = 0


Outcome = Pair | Single

"""Verdicts, their reasons, and their names in OPC 40001-101 (WIRE.md, verdicts)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """The outcome for one triggered part. Only PASS lets a part through."""

    PASS = "PASS"  # noqa: S105 (a verdict, not a password)
    FAIL = "FAIL"
    UNDECIDED = "UNDECIDED"
    FAULT = "FAULT"


class Reason(StrEnum):
    """The reason of a verdict; every reason belongs to one verdict (`REASONS_OF`)."""

    BELOW_THRESHOLD = "below_threshold"
    ABOVE_THRESHOLD = "above_threshold"
    OUT_OF_VIEW = "out_of_view"
    UNEXPECTED_PIECE = "unexpected_piece"
    LOW_COVERAGE = "low_coverage"
    HIGH_COVERAGE = "high_coverage"
    UNLIKE_TAUGHT = "unlike_taught"
    GREY_BAND = "grey_band"
    DRIFT = "drift"
    OTHER_CALIBRATION = "other_calibration"
    LOST = "lost"
    MALFORMED = "malformed"
    UNKNOWN_VERSION = "unknown_version"
    ARRAY_MISMATCH = "array_mismatch"
    TRUNCATED = "truncated"
    OVERSIZE = "oversize"
    CHECKSUM = "checksum"
    REPEATED_FRAME = "repeated_frame"
    UNKNOWN_RECIPE = "unknown_recipe"
    SIZE_MISMATCH = "size_mismatch"
    IMPLAUSIBLE_3D = "implausible_3d"
    OTHER_GEOMETRY = "other_geometry"
    NO_VALID_3D = "no_valid_3d"
    TOO_FEW_POINTS = "too_few_points"
    DEADLINE = "deadline"
    CLOCK_SKEW = "clock_skew"
    RING_FULL = "ring_full"
    WORKER_ERROR = "worker_error"
    DRAINING = "draining"


_INSPECTED: Final = {
    Verdict.PASS: frozenset({Reason.BELOW_THRESHOLD}),
    Verdict.FAIL: frozenset({Reason.ABOVE_THRESHOLD}),
    Verdict.UNDECIDED: frozenset(
        {
            Reason.OUT_OF_VIEW,
            Reason.UNEXPECTED_PIECE,
            Reason.LOW_COVERAGE,
            Reason.HIGH_COVERAGE,
            Reason.UNLIKE_TAUGHT,
            Reason.GREY_BAND,
            Reason.DRIFT,
            Reason.OTHER_CALIBRATION,
        }
    ),
}

FAULT_REASONS: Final = frozenset(Reason) - frozenset().union(*_INSPECTED.values())
"""Reasons why a part was not inspected."""

REASONS_OF: Final[Mapping[Verdict, frozenset[Reason]]] = {**_INSPECTED, Verdict.FAULT: FAULT_REASONS}
"""The reasons of each verdict; the sets are disjoint and cover `Reason`."""

VERDICT_OF: Final[Mapping[Reason, Verdict]] = {
    reason: verdict for verdict, reasons in REASONS_OF.items() for reason in reasons
}
"""The one verdict that each reason belongs to."""

OPC_40001_101: Final[Mapping[Verdict, str]] = {
    Verdict.PASS: "OK",
    Verdict.FAIL: "NotOK",
    Verdict.UNDECIDED: "NotDecidable",
    Verdict.FAULT: "Undefined",
}
"""Names of the result evaluation in OPC 40001-101 (Machine Vision, result transfer)."""

"""Numbers of verdicts, reasons and causes for those who read no text. A number is never given to another word."""

from collections.abc import Mapping
from typing import Final

from cmfm_gateway.line_view import Cause
from cmfm_protocol.wire.verdict import Reason, Verdict

NOT_VALID: Final = 0
"""The verdict code of a result that must not be acted on, and of no result."""

VERDICT_NUMBERS: Final[Mapping[Verdict, int]] = {
    Verdict.PASS: 1,
    Verdict.FAIL: 2,
    Verdict.UNDECIDED: 3,
    Verdict.FAULT: 4,
}

REASON_NUMBERS: Final[Mapping[Reason, int]] = {
    Reason.BELOW_THRESHOLD: 1,
    Reason.ABOVE_THRESHOLD: 2,
    Reason.LOW_COVERAGE: 10,
    Reason.GREY_BAND: 11,
    Reason.DRIFT: 12,
    Reason.OTHER_CALIBRATION: 13,
    Reason.OUT_OF_VIEW: 14,
    Reason.UNEXPECTED_PIECE: 15,
    Reason.HIGH_COVERAGE: 16,
    Reason.UNLIKE_TAUGHT: 17,
    Reason.LOST: 20,
    Reason.MALFORMED: 21,
    Reason.UNKNOWN_VERSION: 22,
    Reason.ARRAY_MISMATCH: 23,
    Reason.TRUNCATED: 24,
    Reason.OVERSIZE: 25,
    Reason.CHECKSUM: 26,
    Reason.REPEATED_FRAME: 27,
    Reason.UNKNOWN_RECIPE: 30,
    Reason.SIZE_MISMATCH: 31,
    Reason.IMPLAUSIBLE_3D: 32,
    Reason.OTHER_GEOMETRY: 33,
    Reason.NO_VALID_3D: 34,
    Reason.TOO_FEW_POINTS: 35,
    Reason.DEADLINE: 40,
    Reason.CLOCK_SKEW: 41,
    Reason.RING_FULL: 42,
    Reason.WORKER_ERROR: 43,
    Reason.DRAINING: 44,
}
"""0: no reason. A new reason takes a free number; no number is ever used for another reason."""

CAUSE_NUMBERS: Final[Mapping[Cause, int]] = {
    Cause.NONE: 0,
    Cause.OFFLINE: 1,
    Cause.SILENCE: 2,
    Cause.STARTING: 3,
    Cause.DRAINING: 4,
    Cause.STOPPED: 5,
    Cause.GAP: 6,
    Cause.STORE: 7,
}
"""Three bits of a Modbus status word hold it, so that there are eight numbers and no more."""

"""The kernel's view of its clock, by adjtimex(2): whether a daemon keeps it synchronised, and how far it may be off."""

import ctypes
from dataclasses import dataclass
from typing import Final

STA_UNSYNC: Final = 0x0040
STA_NANO: Final = 0x2000
TIME_ERROR: Final = 5


class _Timex(ctypes.Structure):
    """struct timex of Linux, up to `tai`; the rest is padding."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time_s", ctypes.c_long),
        ("time_us", ctypes.c_long),
        ("tick", ctypes.c_long),
        ("ppsfreq", ctypes.c_long),
        ("jitter", ctypes.c_long),
        ("shift", ctypes.c_int),
        ("stabil", ctypes.c_long),
        ("jitcnt", ctypes.c_long),
        ("calcnt", ctypes.c_long),
        ("errcnt", ctypes.c_long),
        ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int),
        ("padding", ctypes.c_int * 11),
    )


@dataclass(frozen=True, slots=True)
class KernelClock:
    """Whether the clock is synchronised, its largest error (s), the offset being removed (s), and TAI − UTC (s)."""

    synchronised: bool
    max_error_s: float
    offset_s: float
    tai_s: int


def read_kernel_clock() -> KernelClock:
    """Ask the kernel; it changes nothing. Raises OSError."""
    timex = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    if state < 0:
        raise OSError(ctypes.get_errno(), "adjtimex")
    unit_s = 1e-9 if timex.status & STA_NANO else 1e-6
    return KernelClock(
        state != TIME_ERROR and not timex.status & STA_UNSYNC,
        timex.maxerror * 1e-6,
        timex.offset * unit_s,
        timex.tai,
    )

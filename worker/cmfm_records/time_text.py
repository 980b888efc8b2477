"""Times as text, from and to nanoseconds since the epoch (CLOCK_REALTIME)."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from cmfm_settings.errors import InputError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
AGO: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
TIME_FORMS: Final = "2026-03-01, 2026-03-01T06:00 (UTC), 2026-03-01T06:00+01:00, or an age: 90m, 24h, 7d"


def utc_text(time_ns: int) -> str:
    """ISO 8601 in UTC with milliseconds: 2026-03-01T06:00:00.123Z."""
    time = EPOCH + timedelta(milliseconds=time_ns // 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"


def parse_time_ns(text: str, now_ns: int) -> int:
    """Nanoseconds since the epoch of a text in one of `TIME_FORMS`; UTC unless it has an offset. Raises InputError."""
    ago = AGO.fullmatch(text.strip())
    if ago is not None:
        return now_ns - int(float(ago[1]) * SECONDS[ago[2]] * 1e9)
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InputError(f"{text!r} is not a time; expected {TIME_FORMS}") from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return (time - EPOCH) // timedelta(microseconds=1) * 1000

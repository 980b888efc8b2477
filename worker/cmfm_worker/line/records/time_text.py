"""Moments as people write them, against nanoseconds since the epoch (CLOCK_REALTIME) as the line keeps them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from cmfm_worker.errors import InputError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
AGO: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MOMENT_HELP: Final = "2026-03-01, 2026-03-01T06:00 (UTC), 2026-03-01T06:00+01:00, or an age: 90m, 24h, 7d"


def utc_text(moment_ns: int) -> str:
    """ISO 8601 in UTC with milliseconds: 2026-03-01T06:00:00.123Z."""
    moment = EPOCH + timedelta(milliseconds=moment_ns // 1_000_000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def moment_ns(text: str, now_ns: int) -> int:
    """Nanoseconds since the epoch of `MOMENT_HELP`'s forms; without an offset it is UTC. Raises InputError."""
    ago = AGO.fullmatch(text.strip())
    if ago is not None:
        return now_ns - int(float(ago[1]) * SECONDS[ago[2]] * 1e9)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InputError(f"{text!r} is no moment; expected {MOMENT_HELP}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000

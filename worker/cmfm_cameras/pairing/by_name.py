"""Pairs halves by the name of their part, as files have it. Names have no order: a half waits its time."""

from cmfm_cameras.pairing.half import Cause, Half, Outcome, Pair, Side, Single


class NamePairing:
    """Two halves with one `part_id` are a pair, in whatever order they come."""

    def __init__(self, *, wait_ns: int) -> None:
        self._wait_ns = wait_ns
        self._waiting: dict[str, Half] = {}

    def offer(self, half: Half) -> list[Outcome]:
        """Take a half; returns what is decided by it."""
        name = half.capture.part_id
        if not name:
            return [Single(half, Cause.MISSING, f"the {half.side} names no part")]
        waiting = self._waiting.pop(name, None)
        if waiting is None:
            self._waiting[name] = half
            return []
        if waiting.side is half.side:
            self._waiting[name] = half
            return [_single(waiting)]
        halves = {half.side: half, waiting.side: waiting}
        return [Pair(halves[Side.PICTURE], halves[Side.DEPTH])]

    def expire(self, now_ns: int) -> list[Outcome]:
        """Give up halves whose other half has not come in time."""
        late = [name for name, half in self._waiting.items() if now_ns - half.arrived_ns >= self._wait_ns]
        return [_single(self._waiting.pop(name)) for name in late]

    def flush(self) -> list[Outcome]:
        """Give up everything that waits: a device is gone."""
        waiting, self._waiting = list(self._waiting.values()), {}
        return [_single(half) for half in waiting]


def _single(half: Half) -> Single:
    detail = f"the {half.side.other} of part {half.capture.part_id!r} did not come"
    return Single(half, Cause.MISSING, detail)

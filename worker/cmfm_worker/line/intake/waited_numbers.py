"""The numbers of one stream that are waited for: skipped ones for a time, announced ones until their deadline."""

from collections import deque
from collections.abc import Iterable
from itertools import islice, takewhile
from typing import Final

from cmfm_worker.line.intake.used_numbers import UsedNumbers

AT_ONCE: Final = 1000
"""Numbers of a long gap that are entered in one step, so that it takes less than a millisecond."""


class WaitedNumbers:
    """Skipped and announced numbers, without those that are `used`, each with the time at which it counts as lost."""

    def __init__(self, used: UsedNumbers) -> None:
        self._used = used
        self._skipped: dict[int, int] = {}  # seq -> time, in the order of the times
        self._gaps: deque[tuple[range, int]] = deque()  # long ones that are not all in `_skipped` yet
        self._announced: dict[int, int] = {}  # seq -> its deadline

    def __contains__(self, seq: int) -> bool:
        if seq in self._skipped or seq in self._announced:
            return True
        return any(seq in numbers for numbers, _ in self._gaps) and seq not in self._used

    def __bool__(self) -> bool:
        return bool(self._skipped or self._announced or self._gaps)

    @property
    def any_announced(self) -> bool:
        """Tell whether an announced number is waited for."""
        return bool(self._announced)

    def is_announced(self, seq: int) -> bool:
        """Tell whether a number was announced and is waited for."""
        return seq in self._announced

    def skip(self, numbers: range, until_ns: int) -> None:
        """Wait until a time for those of some skipped numbers that are neither used nor announced."""
        if len(numbers) > AT_ONCE:
            self._gaps.append((numbers, until_ns))
        else:
            self._enter(numbers, until_ns)

    def announce(self, numbers: Iterable[int], due_ns: int) -> None:
        """Wait for numbers until their deadline."""
        for seq in numbers:
            self._skipped.pop(seq, None)
            self._announced[seq] = due_ns

    def discard(self, seq: int) -> None:
        """Wait for a number no longer. Its caller has marked it as used, or does so at once."""
        self._skipped.pop(seq, None)
        self._announced.pop(seq, None)

    def lost(self, now_ns: int, most: int | None) -> list[int]:
        """Return the numbers whose time has come, in order; of the skipped ones `most` at once."""
        self._enter_gaps(most)
        closed = (seq for seq, _ in takewhile(lambda item: item[1] <= now_ns, self._skipped.items()))
        due = (seq for seq, until in self._announced.items() if until <= now_ns)
        return sorted([*islice(closed, most), *due])

    def first_announced(self, before_ns: int) -> int | None:
        """Return the announced number that is due first, if it is due by a time; else None."""
        seq = min(self._announced, key=lambda number: (self._announced[number], number), default=None)
        return seq if seq is not None and self._announced[seq] <= before_ns else None

    def _enter(self, numbers: range, until_ns: int) -> None:
        for seq in numbers:
            if seq not in self._announced and seq not in self._used:
                self._skipped[seq] = until_ns

    def _enter_gaps(self, most: int | None) -> None:
        """Enter numbers of long gaps: all if `most` is None, else some, once those entered before are settled."""
        while self._gaps and (most is None or len(self._skipped) < AT_ONCE):
            numbers, until_ns = self._gaps.popleft()
            if len(numbers) > AT_ONCE:
                self._gaps.appendleft((numbers[AT_ONCE:], until_ns))
            self._enter(numbers[:AT_ONCE], until_ns)

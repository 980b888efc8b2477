"""The numbers of one stream that were used, and what the newest of them were used for (rules 3 and 4 of `sequence`)."""

from collections import OrderedDict
from enum import Enum, auto
from typing import Final, NamedTuple

from cmfm_worker.line.intake.content import Content
from cmfm_worker.line.intake.number_set import NumberSet

UNKNOWN_NS: Final = 1 << 62
"""Time of a verdict that is not known: no trigger counts as later than it."""


class Fingerprint(NamedTuple):
    """Tells frames with the same number apart. What a damaged frame does not say is None or empty."""

    trigger_ns: int
    part_id: str
    content: Content | None = None
    recipe: str = ""
    calib_id: str = ""

    def same_part(self, other: "Fingerprint") -> bool:
        """Tell whether two frames say that they show the same part, triggered at the same time."""
        return (self.trigger_ns, self.part_id) == (other.trigger_ns, other.part_id)

    def contradicts(self, other: "Fingerprint") -> bool:
        """Tell whether two readable frames of the same part differ in their bytes, recipe or calibration."""
        return None not in (self.content, other.content) and self[2:] != other[2:]


class Used(NamedTuple):
    """Facts about a number that was used: its frame, or None if its FAULT is out; and since when."""

    frame: Fingerprint | None
    at_ns: int


class Sighting(Enum):
    """The meaning of a number, given the numbers before it."""

    NEW = auto()
    DUPLICATE = auto()
    CHANGED = auto()  # the same part again, with other bytes, recipe or calibration (rule 4)
    LATE = auto()  # its verdict is already out (rule 3)
    REUSED = auto()  # another part has had the number (rule 4)
    JUMP = auto()  # too far off to be believed yet (rule 5)


class PastNumbers(NamedTuple):
    """The used numbers of a stream that is not tracked now, none of them used after `at_ns` (CLOCK_MONOTONIC)."""

    numbers: NumberSet
    at_ns: int

    @classmethod
    def up_to(cls, newest: int, at_ns: int) -> "PastNumbers":
        """Return all numbers up to `newest`."""
        numbers = NumberSet()
        numbers.add_range(0, newest + 1)
        return cls(numbers, at_ns)


class UsedNumbers:
    """All numbers that were used, and the facts about the newest `remembered` of them. Numbers are only added."""

    def __init__(self, remembered: int, past: PastNumbers | None = None) -> None:
        self._remembered = remembered
        self._recent: OrderedDict[int, Used] = OrderedDict()
        self._all = NumberSet() if past is None else past.numbers
        # Numbers that are used and not recent were used before this.
        self._forgotten_ns = -UNKNOWN_NS if past is None else past.at_ns

    def __contains__(self, seq: int) -> bool:
        return seq in self._all

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def past(self) -> PastNumbers:
        """Return the facts that stay known of the stream when it is not tracked any more."""
        newest_ns = max((used.at_ns for used in self._recent.values()), default=self._forgotten_ns)
        return PastNumbers(self._all, max(newest_ns, self._forgotten_ns))

    def recent(self, seq: int) -> Used | None:
        """Return the facts about a number, None if it was not used or is forgotten."""
        return self._recent.get(seq)

    def add(self, seq: int, used: Used) -> None:
        """Note what a number was used for."""
        self._recent[seq] = used
        self._all.add(seq)
        while len(self._recent) > self._remembered:
            _, forgotten = self._recent.popitem(last=False)
            self._forgotten_ns = max(self._forgotten_ns, forgotten.at_ns)

    def next_free(self, seq: int) -> int:
        """Return the lowest number from `seq` on that was not used."""
        return self._all.next_free(seq)

    def seen_before(self, seq: int, fingerprint: Fingerprint, fired_ns: int | None = None) -> Sighting | None:
        """Return the meaning of a frame whose number was used before, None for a number that was not.

        `fired_ns` is when its trigger fired (CLOCK_MONOTONIC), None if that is not known.
        """
        used = self._recent.get(seq)
        if used is None:
            if seq not in self._all:
                return None
            another = fired_ns is None or fired_ns > self._forgotten_ns
            return Sighting.REUSED if another else Sighting.LATE
        if used.frame is None:
            later = fired_ns is not None and fired_ns > used.at_ns
            return Sighting.REUSED if later else Sighting.LATE
        if not used.frame.same_part(fingerprint):
            return Sighting.REUSED
        return Sighting.CHANGED if used.frame.contradicts(fingerprint) else Sighting.DUPLICATE

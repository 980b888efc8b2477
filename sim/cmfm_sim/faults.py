"""Fault plans: which fault happens to which trigger, drawn from a seed.

A plan is written `kind=amount[:duration]`, separated by commas: `drop=0.02,corrupt=3,stall=1:0.5s`. An amount with a
decimal point is a share of the triggers, a whole number that many of them. A trigger gets at most one fault, so that
its expected verdict is known afterwards.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from cmfm_sim.errors import InputError


class FaultKind(StrEnum):
    """Faults between a camera and its worker."""

    DROP = "drop"  # the frame is lost on the way
    DUPLICATE = "duplicate"  # it comes twice
    REORDER = "reorder"  # it comes after its successor
    CORRUPT = "corrupt"  # a few bits are flipped in the header, a picture or the seal
    TRUNCATE = "truncate"  # message frames, or bytes of one, are missing
    OVERSIZE = "oversize"  # more bytes or message frames than announced, or than the wire allows
    STALL = "stall"  # the camera hangs before it sends, with all that follows
    WRONG = "wrong"  # an array of another dtype, shape or size, described as such
    GARBAGE = "garbage"  # not msgpack
    VERSION = "version"  # an unknown major version
    LATE = "late"  # it comes long after its deadline
    CLOCK = "clock"  # it is stamped by a clock that is hours off


MAY_BE_INSPECTED: Final = frozenset({FaultKind.DUPLICATE, FaultKind.REORDER, FaultKind.STALL})
"""Faults after which the part's own bytes may still arrive in time."""

MUST_FAULT: Final = frozenset(FaultKind) - MAY_BE_INSPECTED
"""Faults after which no part can have been inspected in time: any verdict but FAULT is wrong."""

DEFAULT_DURATION_S: Final = {FaultKind.STALL: 0.5, FaultKind.LATE: 2.0}
"""Kinds that take a duration, with its default."""

_ITEM: Final = re.compile(
    r"(?P<kind>[a-z]+)=(?P<amount>\d+(?P<share>\.\d*)?)(:(?P<duration>\d+(\.\d*)?)(?P<unit>ms|s))?"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of one trigger. `duration_s` of a stall or a delay, else 0."""

    kind: FaultKind
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FaultAmount:
    """A fault and its amount: a `share` of the triggers, or `count` of them."""

    fault: Fault
    share: float = 0.0
    count: int = 0


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Planned faults, and the seed that chooses their triggers."""

    amounts: tuple[FaultAmount, ...] = ()
    seed: int = 0

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> "FaultPlan":
        """The plan written as `drop=0.02,stall=1:0.5s`; "" plans nothing. Raises InputError."""
        items = [item.strip() for item in text.split(",") if item.strip()]
        amounts = tuple(_parse_item(item) for item in items)
        kinds = [amount.fault.kind for amount in amounts]
        twice = sorted({kind for kind in kinds if kinds.count(kind) > 1})
        if twice:
            raise InputError(f"fault plan {text!r} names {', '.join(twice)} twice")
        if sum(amount.share for amount in amounts) > 1:
            raise InputError(f"fault plan {text!r}: the shares add up to more than 1")
        return cls(amounts, seed)

    def check_deadline(self, deadline_ms: float) -> None:
        """Raise InputError for a late frame that would still be in time: it would show nothing."""
        for fault in (amount.fault for amount in self.amounts):
            if fault.kind is FaultKind.LATE and fault.duration_s * 1000 <= deadline_ms:
                raise InputError(
                    f"fault late: {fault.duration_s:g} s is not past the deadline of {deadline_ms:g} ms; "
                    "write late=AMOUNT:DURATION with a longer one"
                )

    def schedule(self, triggers: int) -> dict[int, Fault]:
        """seq → its fault, for `triggers` triggers. Raises InputError if more are planned than there are."""
        rng = np.random.default_rng(self.seed)
        counted = [amount.fault for amount in self.amounts for _ in range(amount.count)]
        if len(counted) > triggers:
            raise InputError(
                f"the fault plan asks for {len(counted)} faults, but there are {triggers} triggers"
            )
        chosen = rng.permutation(triggers)[: len(counted)].tolist()
        schedule = dict(zip(chosen, counted, strict=True))
        shared = [amount for amount in self.amounts if amount.share]
        limits = np.cumsum([amount.share for amount in shared])
        # One draw a trigger, whatever the plan: another share moves no other fault.
        for seq, place in enumerate(np.searchsorted(limits, rng.random(triggers), side="right").tolist()):
            if place < len(shared):
                schedule.setdefault(seq, shared[place].fault)
        return schedule


def _parse_item(item: str) -> FaultAmount:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise InputError(f"fault {item!r} is not KIND=AMOUNT[:DURATION], such as drop=0.02 or stall=1:0.5s")
    if match["kind"] not in set(FaultKind):
        raise InputError(f"fault {match['kind']!r} is unknown; there are {', '.join(FaultKind)}")
    kind = FaultKind(match["kind"])
    if match["duration"] and kind not in DEFAULT_DURATION_S:
        raise InputError(f"fault {item!r}: only {', '.join(DEFAULT_DURATION_S)} take a duration")
    fault = Fault(kind, _duration_s(match, DEFAULT_DURATION_S.get(kind, 0.0)))
    if not match["share"]:
        return FaultAmount(fault, count=int(match["amount"]))
    if float(match["amount"]) > 1:
        raise InputError(
            f"fault {item!r}: a share lies between 0.0 and 1.0; for a number of triggers leave out the point"
        )
    return FaultAmount(fault, share=float(match["amount"]))


def _duration_s(match: re.Match[str], default_s: float) -> float:
    if not match["duration"]:
        return default_s
    return float(match["duration"]) * (0.001 if match["unit"] == "ms" else 1.0)

"""Damaged messages: the decoder refuses each, and a seed gives the same damage again."""

from collections.abc import Callable

import numpy as np
import pytest
from tests.unit.made.line_messages import message

from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.frame import decode_frame
from cmfm_protocol.wire.verdict import Reason
from cmfm_sim.damage import DAMAGES, Message, MessageFrames, Rng
from cmfm_sim.faults import MUST_FAULT, FaultKind

SEEDS = range(60)


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_message_is_no_frame(kind: FaultKind) -> None:
    """A decoder refuses it for every seed: a fault without damage would show nothing."""
    for seed in SEEDS:
        damaged = DAMAGES[kind](message(), np.random.default_rng(seed))
        with pytest.raises(RemoteProtocolError):
            decode_frame(damaged)


@pytest.mark.parametrize("kind", sorted(set(DAMAGES) - {FaultKind.CORRUPT}))
def test_damage_shows_without_checksums_too(kind: FaultKind) -> None:
    """A plain camera without checksums is protected from all but flipped bits."""
    for seed in SEEDS:
        damaged = DAMAGES[kind](message(checksums=False), np.random.default_rng(seed))
        with pytest.raises(RemoteProtocolError):
            decode_frame(damaged)


@pytest.mark.parametrize("kind", DAMAGES)
def test_the_same_seed_does_the_same_damage_and_leaves_the_original_whole(kind: FaultKind) -> None:
    """Pictures are sent again in the next pass, so they must not be changed in place."""
    original = message()
    first, again = (DAMAGES[kind](original, np.random.default_rng(5)) for _ in range(2))
    assert [bytes(part) for part in first] == [bytes(part) for part in again]
    assert decode_frame(original).header.seq == 0


@pytest.mark.parametrize(
    ("kind", "reasons"),
    [
        (FaultKind.CORRUPT, {Reason.CHECKSUM}),
        (FaultKind.VERSION, {Reason.UNKNOWN_VERSION}),
        (FaultKind.GARBAGE, {Reason.CHECKSUM, Reason.MALFORMED}),
        (FaultKind.WRONG, {Reason.ARRAY_MISMATCH, Reason.SIZE_MISMATCH}),
    ],
)
def test_damage_is_of_the_kind_it_is_called(kind: FaultKind, reasons: set[Reason]) -> None:
    """Over many seeds the decoder gives each reason that the kind stands for, and no other."""
    assert {_reason(DAMAGES[kind], seed) for seed in SEEDS} == reasons


def test_damages_are_the_kinds_that_must_fault_without_loss_and_delay() -> None:
    """Every kind that changes bytes must end in a FAULT; a wrong clock must, too, and changes no bytes."""
    assert set(DAMAGES) == MUST_FAULT - {FaultKind.DROP, FaultKind.LATE, FaultKind.CLOCK}


def _reason(damage: Callable[[MessageFrames, Rng], Message], seed: int) -> Reason:
    try:
        decode_frame(damage(message(), np.random.default_rng(seed)))
    except RemoteProtocolError as error:
        return error.reason
    raise AssertionError(f"seed {seed} did no damage")

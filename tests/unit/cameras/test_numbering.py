"""Frame ids become numbers of triggers: none twice, none missing, whatever a device counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmfm_cameras.errors import Refusal
from cmfm_cameras.numbering import MAX_SKIPPED, FrameIds, NotNumbered, Numbered, Numbering

GEV = FrameIds(16, 1)


def numbers(*ids: int | None, frame_ids: FrameIds = FrameIds(), lost: int = 0) -> list[object]:
    """(seq, skipped) of each id, or the refusal."""
    numbering = Numbering()
    numbering.opened(frame_ids)
    taken = [numbering.take(frame_id, lost) for frame_id in ids]
    return [(one.seq, one.skipped) if isinstance(one, Numbered) else one.reason for one in taken]


def test_numbers_follow_the_ids_from_the_first() -> None:
    """The first id is 0, whatever it is; ids that are skipped are triggers without a frame."""
    assert numbers(17, 18, 21) == [(0, 0), (1, 0), (4, 2)]


def test_a_repeated_id_uses_no_number() -> None:
    """It is the same trigger; what follows goes on."""
    assert numbers(5, 5, 6) == [(0, 0), Refusal.REPEATED_ID, (1, 0)]


def test_an_id_that_goes_back_uses_no_number_and_opens_the_device_again() -> None:
    """A restarted count and a damaged one look alike; both are over once the device was opened again."""
    numbering = Numbering()
    numbering.opened(FrameIds())
    for frame_id in (100, 101):
        numbering.take(frame_id)
    refused = numbering.take(0)
    assert isinstance(refused, NotNumbered)
    assert (refused.reason, refused.reopen) == (Refusal.ID_BACK, True)
    assert "0 after 101" in refused.detail
    numbering.opened(FrameIds())
    assert numbering.take(0) == Numbered(2, 0)


def test_a_jump_that_cannot_be_believed_is_no_thousand_lost_parts() -> None:
    """One flipped bit must not write off a shift."""
    assert numbers(1, 2 + MAX_SKIPPED) == [(0, 0), (1 + MAX_SKIPPED, MAX_SKIPPED)]
    assert numbers(1, 3 + MAX_SKIPPED, 2) == [(0, 0), Refusal.ID_JUMP, (1, 0)]


@pytest.mark.parametrize(
    ("frame_ids", "before", "after", "skipped"),
    [
        (GEV, 65_535, 1, 0),  # GigE Vision has no id 0
        (GEV, 65_534, 2, 2),
        (FrameIds(16, 0), 65_535, 0, 0),
        (FrameIds(32, 0), 2**32 - 1, 1, 1),
        (FrameIds(64, 0), 2**64 - 1, 0, 0),
        (GEV, 65_535, 65_536, 0),  # a producer that counts on above 16 bits
    ],
)
def test_ids_wrap_around(frame_ids: FrameIds, before: int, after: int, skipped: int) -> None:
    """After the highest id comes the lowest, with nothing lost between them."""
    assert numbers(before, after, frame_ids=frame_ids) == [(0, 0), (1 + skipped, skipped)]


def test_a_device_without_ids_counts_captures_and_what_it_lost() -> None:
    """Its own count of lost frames becomes triggers without a frame."""
    assert numbers(None, None) == [(0, 0), (1, 0)]
    assert numbers(None, None, lost=2) == [(2, 2), (5, 2)]


def test_ids_count_before_a_count_of_lost_frames() -> None:
    """Otherwise a frame lost between two ids would be two triggers."""
    assert numbers(1, 3, lost=1) == [(0, 0), (2, 1)]


@given(
    st.lists(
        st.one_of(st.none(), st.integers(0, 300), st.just("open"), st.integers(65_000, 65_535)), max_size=60
    ),
    st.integers(0, 5),
)
def test_no_number_is_used_twice_and_none_is_left_out(events: list[object], lost: int) -> None:
    """Whatever a device counts and however often it is opened, the numbers used are 0, 1, 2 … without a gap."""
    numbering = Numbering()
    numbering.opened(GEV)
    used: list[int] = []
    for event in events:
        if event == "open":
            numbering.opened(GEV)
            continue
        taken = numbering.take(event if isinstance(event, int) else None, lost)
        if isinstance(taken, Numbered):
            used += range(taken.seq - taken.skipped, taken.seq + 1)
    assert used == list(range(numbering.next_seq))


def test_a_capture_that_was_asked_for_has_the_number_of_its_request() -> None:
    """Numbers between were asked for and not heard: they are lost. A used one, and a jump, get none."""
    numbering = Numbering()
    numbering.opened(FrameIds())
    assert numbering.take(None, seq=2) == Numbered(2, 2)
    assert numbering.take(None, seq=3) == Numbered(3, 0)
    for used in (3, 0):
        refused = numbering.take(None, seq=used)
        assert isinstance(refused, NotNumbered)
        assert (refused.reason, refused.reopen) == (Refusal.REPEATED_ID, False)
    far = numbering.take(None, seq=5 + MAX_SKIPPED)
    assert isinstance(far, NotNumbered)
    assert (far.reason, far.reopen) == (Refusal.ID_JUMP, False)
    numbering.opened(FrameIds())
    assert numbering.take(None, seq=4) == Numbered(4, 0)

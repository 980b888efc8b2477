"""The account of a chaos run: what may lack a verdict, what may not, and every lie is found."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.made.line_messages import result

from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.verdict import Verdict
from cmfm_sim.chaos.connected import Span
from cmfm_sim.chaos.tally import Tally, tally_of
from cmfm_sim.faults import FaultKind
from cmfm_sim.trigger_log import TriggerRecord

from .chaos_files import write_ledger, write_record, write_triggers
from .made_values import trigger

FIVE = [trigger(seq) for seq in range(5)]


def tally(
    folder: Path,
    triggers: Sequence[TriggerRecord],
    ledger: Sequence[Result],
    record: Sequence[Result] | None = None,
    *,
    camera_killed: bool = False,
    connected: Sequence[Span] = (),
    **endings: str,
) -> Tally:
    return tally_of(
        [write_triggers(folder / "t.jsonl", triggers)],
        {0} if camera_killed else set(),
        write_ledger(folder / "l.sqlite", ledger, **endings),
        write_record(folder / "r.jsonl", ledger if record is None else record),
        connected,
    )


def test_a_good_day_holds(tmp_path: Path) -> None:
    """Every trigger has its verdict, in the ledger and at the subscriber."""
    found = tally(tmp_path, FIVE, [result(seq) for seq in range(5)])
    assert found.problems() == []
    assert (found.triggers, found.received, found.verdicts["PASS"]) == (5, 5, 5)
    assert (found.unheard, found.unannounced, found.unattributed) == (0, 0, 0)


def test_the_end_of_a_killed_cameras_stream_is_unannounced(tmp_path: Path) -> None:
    """Nobody heard of what came last; of a camera that ended in order the same is a loss."""
    answered = [result(seq) for seq in range(3)]
    found = tally(tmp_path, FIVE, answered, camera_killed=True)
    assert (found.problems(), found.unannounced) == ([], 2)
    (tmp_path / "l.sqlite").unlink()
    assert "without a verdict at the end" in tally(tmp_path, FIVE, answered).problems()[0]


def test_a_connected_cameras_last_triggers_are_no_exception(tmp_path: Path) -> None:
    """That the camera is killed later does not excuse a worker that had it and said nothing."""
    span = Span(FIVE[3].trigger_ns, FIVE[4].trigger_ns)
    found = tally(tmp_path, FIVE, [result(0)], camera_killed=True, connected=[span])
    assert found.problems() == ["1 triggers without a verdict of a camera that was connected: ('stream', 3)"]
    assert found.unannounced == 3


def test_good_part_of_a_connected_camera_is_not_lost(tmp_path: Path) -> None:
    """One wrong message before it is no excuse; a fault of the part's own, or no connection, is."""
    lost = [*(result(seq) for seq in range(4)), result(4, Verdict.FAULT)]
    span = Span(FIVE[3].trigger_ns, FIVE[4].trigger_ns + 1)
    found = tally(tmp_path, FIVE, lost, connected=[span])
    assert found.problems() == ["1 good parts of a connected camera that count as lost: ('stream', 4)"]
    for triggers, spans in ((FIVE, []), ([*FIVE[:4], trigger(4, faults=(FaultKind.REORDER,))], [span])):
        (tmp_path / "l.sqlite").unlink()
        assert tally(tmp_path, triggers, lost, connected=spans).problems() == []


def test_good_part_is_answered_in_time_whatever_else_is(tmp_path: Path) -> None:
    """More than a second after the deadline is no matter of load."""
    late = result(4, done_ns=FIVE[4].trigger_ns + 2_100_000_000)
    span = Span(FIVE[3].trigger_ns, FIVE[4].trigger_ns + 1)
    found = tally(tmp_path, FIVE, [*(result(seq) for seq in range(4)), late], connected=[span])
    assert "answered more than a second late: ('stream', 4)" in found.problems()[0]


def test_results_of_a_rough_camera_are_counted_apart(tmp_path: Path) -> None:
    """They are judged by their scenes; the record must have them all the same."""
    rough = [
        result(5, stream_uuid="rough", result_id=6),
        result(0, Verdict.FAULT, stream_uuid="unattributed", part_id="rough-x-1", result_id=7),
    ]
    rows = [*(result(seq) for seq in range(5)), *rough]
    found = tally_of(
        [write_triggers(tmp_path / "t.jsonl", FIVE)],
        set(),
        write_ledger(tmp_path / "l.sqlite", rows),
        write_record(tmp_path / "r.jsonl", rows),
        rough=["rough"],
    )
    assert (found.problems(), found.rough, found.unattributed, found.received) == ([], 2, 0, 7)


def test_a_gap_is_a_loss_also_of_a_killed_camera(tmp_path: Path) -> None:
    """A trigger before one that was answered was known to the worker, so it owes a verdict."""
    found = tally(tmp_path, FIVE, [result(seq) for seq in (0, 1, 3)], camera_killed=True)
    assert found.problems() == ["1 triggers without a verdict: ('stream', 2)"]


def test_second_verdict_of_another_boot_is_found(tmp_path: Path) -> None:
    """A restarted worker must not answer again what the killed one had answered."""
    again = result(2, Verdict.FAULT, boot_id="second", result_id=1)
    found = tally(tmp_path, FIVE, [*(result(seq) for seq in range(5)), again], boot="killed")
    assert found.problems() == ["1 triggers with more than one verdict: ('stream', 2)"]


@pytest.mark.parametrize("changes", [{"faults": (FaultKind.TRUNCATE,)}, {"sent": False}])
def test_pass_without_an_inspection_is_found(tmp_path: Path, changes: dict[str, object]) -> None:
    """The one thing that must never happen."""
    found = tally(tmp_path, [trigger(0, **changes)], [result(0)])
    assert "PASS verdicts on parts that cannot have been inspected" in found.problems()[0]


def test_verdict_without_a_trigger_is_found(tmp_path: Path) -> None:
    """A number that no camera used was made up, however large it is."""
    found = tally(tmp_path, FIVE[:1], [result(0), replace(result(9, result_id=2), seq=2**50)])
    assert "never triggered" in found.problems()[0]


def test_lost_on_the_way_only_from_a_killed_worker(tmp_path: Path) -> None:
    """Its last words may not have arrived; those of a worker that ended in order must have."""
    given = [result(seq) for seq in range(5)]
    found = tally(tmp_path, FIVE, given, given[:3], boot="killed")
    assert (found.problems(), found.unheard, found.received) == ([], 2, 3)
    (tmp_path / "l.sqlite").unlink()
    assert "never received" in tally(tmp_path, FIVE, given, given[:3]).problems()[0]


def test_record_and_ledger_must_agree(tmp_path: Path) -> None:
    """Another verdict, a verdict that was not given, and one recorded twice."""
    given = [result(0), result(1)]
    heard = [result(0, Verdict.FAIL), result(1), result(1), result(7)]
    problems = " ".join(tally(tmp_path, FIVE[:2], given, heard).problems())
    for words in ("not the ledger's", "recorded twice", "the ledger does not have"):
        assert words in problems

"""The store: numbers, duplicates, cursors, what survives a restart, retention."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from tests.unit.made.line_messages import result

from cmfm_client import IdRange, LossCause, Lost, Missing, Received
from cmfm_gateway.errors import InputError, StartupError
from cmfm_gateway.store import DELETED_AT_ONCE as MANY
from cmfm_gateway.store import ResultStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[ResultStore]:
    opened = ResultStore(path)
    yield opened
    opened.close()


def heard(result_id: int, *, boot_id: str = "b1", live: bool = True, part_id: str = "") -> Received:
    stream = "stream of " + boot_id
    made = replace(
        result(result_id - 1),
        result_id=result_id,
        boot_id=boot_id,
        stream_uuid=stream,
        seq=result_id - 1,
        part_id=part_id or f"part{result_id}",
    )
    return Received(made, 1_000 + result_id if live else None)


def test_results_are_numbered_without_gaps_and_each_is_stored_once(store: ResultStore) -> None:
    """A repeated id, and another result for the same trigger, get no number."""
    assert [store.append(heard(1)), store.append(heard(2))][-1] is not None
    assert store.append(heard(2)) is None
    again = heard(3)
    same_trigger = replace(
        again, result=replace(again.result, boot_id="b2", stream_uuid="stream of b1", seq=0)
    )
    assert store.append(same_trigger) is None
    third = store.append(heard(3))
    assert third is not None
    assert third.number == 3
    assert [each.number for each in store.after(0)] == [1, 2, 3]
    assert store.newest() == 3


def test_a_second_result_of_a_trigger_is_counted_and_a_repeated_result_is_not(store: ResultStore) -> None:
    """The first result counts, because a consumer may have acted on it; the log names the second."""
    store.append_all([heard(1), heard(2), heard(2)])
    assert store.second_results == 0
    second = heard(3)
    with structlog.testing.capture_logs() as logs:
        store.append(
            replace(second, result=replace(second.result, boot_id="b2", stream_uuid="stream of b1", seq=0))
        )
    assert store.second_results == 1
    assert [(each["event"], each["first_number"], each["boot_id"]) for each in logs] == [
        ("second_result", 1, "b2")
    ]


def test_a_part_that_is_not_unicode_is_not_found(store: ResultStore) -> None:
    """A consumer's text reaches the store as it came."""
    assert store.by_part("\ud800") is None


def test_results_come_back_as_they_were(store: ResultStore, path: Path) -> None:
    """By number, part and wire id, from memory and, after a restart, from the file."""
    store.append_all([heard(1, part_id="p"), heard(2, part_id="p")])
    again = ResultStore(path)
    for each in (store, again):
        newest = each.by_part("p")
        assert newest is not None
        assert newest.result == heard(2, part_id="p").result
        assert newest == each.by_number(2) == each.by_wire_id("b1", 2) == each.after(1)[0]
        assert each.by_part("another") is None
        assert each.by_number(3) is None
    again.close()


def test_unattributed_results_of_two_boots_are_both_kept(store: ResultStore) -> None:
    """Their numbers start again at each boot of the worker and mean no trigger."""
    for boot_id in ("b1", "b2"):
        each = heard(1, boot_id=boot_id)
        assert (
            store.append(replace(each, result=replace(each.result, stream_uuid="unattributed"))) is not None
        )


def test_a_repeated_unattributed_result_is_not_a_second_one(store: ResultStore) -> None:
    """The same number of another boot belongs to another message."""
    both = [
        replace(each, result=replace(each.result, stream_uuid="unattributed"))
        for each in (heard(1, boot_id="b1"), heard(1, boot_id="b2"))
    ]
    store.append_all([*both, *both])
    assert store.newest() == 2
    assert store.second_results == 0


def test_recovered_results_and_those_of_a_former_boot_are_stale(store: ResultStore) -> None:
    """A live result becomes stale the moment the worker starts again."""
    store.append_all([heard(1), heard(2, live=False)])
    assert [each.stale for each in store.after(0)] == [False, True]
    store.enter_boot("b2", 0)
    assert [each.stale for each in store.after(0)] == [True, True]
    store.append(heard(1, boot_id="b2"))
    assert [each.stale for each in store.after(0)] == [True, True, False]


def test_cursors_only_rise_and_survive_a_restart(store: ResultStore, path: Path) -> None:
    """The number that a consumer has confirmed is durable; a lower number changes nothing."""
    store.append_all([heard(1), heard(2), heard(3)])
    assert store.cursor("plc") == 0
    store.advance("plc", 2)
    store.advance("plc", 1)
    again = ResultStore(path)
    assert again.cursor("plc") == 2
    assert again.cursor("mes") == 0
    assert again.begin("new", 3) == 3
    assert again.begin("plc", 3) == 2
    again.close()


def test_a_restart_knows_what_was_received(store: ResultStore, path: Path) -> None:
    """A subscriber asks for what is missing, and not again for what was lost for good."""
    store.append_all([heard(5), heard(6), heard(9)])
    store.give_up(Lost(Missing("b1", 7, 7), LossCause.TOO_OLD))
    store.enter_boot("b2", 4)
    again = ResultStore(path)
    assert list(again.received) == ["b1", "b2"]
    assert again.received["b1"].newest == 9
    assert again.received["b1"].owed == [IdRange(8, 8)]
    assert again.received["b2"].newest == 0  # of a later boot everything is wanted
    again.close()


def test_retention_keeps_the_newest_and_what_is_not_confirmed(path: Path) -> None:
    """Confirmed results beyond `keep` go; those that a consumer has not confirmed stay."""
    store = ResultStore(path, keep=100)
    store.cursor("slow")
    store.append_all([heard(each) for each in range(1, MANY + 1)])
    store.tidy()
    assert store.after(0)[0].number == 1
    store.advance("slow", MANY)
    store.append_all([heard(each) for each in range(MANY + 1, 2 * MANY + 1)])
    store.tidy()
    assert store.by_number(MANY + 1) is not None
    assert ResultStore(path).after(0)[0].number == MANY + 1
    assert store.deleted_unconfirmed == {}
    store.close()


def test_a_file_that_is_too_large_costs_the_oldest_and_says_so(path: Path) -> None:
    """The bound of bytes holds even against a consumer that never confirms; what it misses is counted."""
    store = ResultStore(path, keep=100, max_bytes=300_000)
    store.cursor("slow")
    for first in range(1, 4 * MANY, MANY):
        store.append_all([heard(each) for each in range(first, first + MANY)])
        store.tidy()
    (left,) = sqlite3.connect(path).execute("SELECT min(number) FROM results").fetchone()
    assert left > MANY
    assert store.deleted_unconfirmed == {"slow": left - 1}
    store.close()


def test_a_file_of_another_program_is_refused(path: Path, tmp_path: Path) -> None:
    """Nothing is written into a file that is not a store; a folder that is missing is said."""
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE other (x)")
    foreign.close()
    with pytest.raises(InputError, match="not a store of this version"):
        ResultStore(path)
    with pytest.raises(StartupError, match=r"missing/gateway\.sqlite cannot be used"):
        ResultStore(tmp_path / "missing" / "gateway.sqlite")

"""Gateway, broker and subscriber are killed: no result is missing, none overtakes, every repetition is marked."""

from pathlib import Path

import pytest
from tests.made_mosquitto import program
from tests.system.mqtt_kills import judge, run


@pytest.mark.system
def test_no_kill_loses_a_result(tmp_path: Path) -> None:
    """The short form of `python -m tests.system.mqtt_kills`; each of the three is killed once."""
    program("mosquitto")
    record = run(tmp_path, results=600, kills=1, seed=3)

    assert record.missing == []
    assert record.unmarked == []
    assert record.out_of_order == []


def test_the_judge_sees_what_is_wrong() -> None:
    """Missing, repeated without mark, and overtaken results are found; a broker's own repetition is not ours."""

    def message(number: int, sent_ns: int, *, dup: bool = False) -> dict[str, dict[str, object]]:
        return {"payload": {"result_id": number, "sent_ns": sent_ns, "dup": dup}}

    good = [message(1, 10), message(2, 20), message(2, 20), message(1, 30, dup=True), message(3, 40)]
    record = judge(good, published=3)
    assert (record.missing, record.unmarked, record.out_of_order) == ([], [], [])
    assert (record.arrived, record.repeated, record.redelivered) == (5, 1, 1)

    bad = judge([message(1, 10), message(4, 20), message(3, 30), message(1, 40)], published=4)
    assert (bad.missing, bad.unmarked, bad.out_of_order) == ([2], [1], [3])

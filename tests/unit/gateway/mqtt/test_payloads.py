"""A result's JSON has WIRE.md's fields and says when nobody may act on it."""

import json
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest
from tests.unit.made.mqtt_gateway import SILENT, STATE, VALID
from tests.unit.made.verdicts import result

from cmfm_gateway.mqtt.payloads import Delivery, StateMessage, as_json, delivery, result_json
from cmfm_gateway.store import StoredResult
from cmfm_protocol.wire.fields import fields_of
from cmfm_protocol.wire.result import Region, Result
from cmfm_protocol.wire.state import WorkerState

NOW_NS = 1_770_000_000_000_000_000
LIVE = StoredResult(7, result(3), NOW_NS - 1_000_000, stale=False)


def test_a_result_has_every_field_of_the_wire_and_of_its_delivery() -> None:
    """Whoever knows WIRE.md knows the JSON: same names, and none of ours hides one of theirs."""
    payload = json.loads(result_json(LIVE, delivery(LIVE, VALID, now_ns=NOW_NS, dup=False)))
    wire, ours = ({field.name for field in fields_of(kind)} for kind in (Result, Delivery))

    assert not wire & ours
    assert set(payload) == {"v"} | wire | ours
    assert (payload["v"], payload["number"], payload["verdict"], payload["dup"]) == (1, 7, "PASS", False)
    assert (payload["valid"], payload["cause"]) == (True, "")


def test_times_and_texts_arrive_as_they_were() -> None:
    """Nanoseconds are whole numbers in JSON, and text is UTF-8."""
    stored = replace(LIVE, result=replace(result(3), detail="Kratzer – außen", trigger_ns=2**63 - 1))
    payload = result_json(stored, delivery(stored, VALID, now_ns=NOW_NS, dup=False))

    assert "Kratzer – außen".encode() in payload
    assert json.loads(payload)["trigger_ns"] == 2**63 - 1


@pytest.mark.parametrize(
    ("stored", "view", "cause"),
    [
        (LIVE, SILENT, "silence"),
        (replace(LIVE, stale=True), VALID, "stale"),
        (replace(LIVE, received_ns=None), VALID, "stale"),
        (replace(LIVE, received_ns=NOW_NS - 2_000_000_001), VALID, "late"),
        (replace(LIVE, received_ns=NOW_NS + 1), VALID, "late"),
    ],
    ids=["no worker", "of an earlier boot", "recovered", "kept back too long", "clock set back"],
)
def test_a_verdict_that_is_not_of_now_is_not_valid(stored: StoredResult, view: object, cause: str) -> None:
    """A PASS from silence, from the store or from an earlier boot is for the record: `valid` is false."""
    how = delivery(stored, view, now_ns=NOW_NS, dup=False)  # type: ignore[arg-type]
    payload = json.loads(result_json(stored, how))

    assert (payload["verdict"], payload["valid"], payload["cause"]) == ("PASS", False, cause)


def test_regions_can_be_left_out() -> None:
    """A broker with small packets gets the verdict without its regions, and is told how many there were."""
    region = Region((1, 2, 3, 4), 9, None, 0.5, (1, 2), "2d")
    stored = replace(LIVE, result=replace(result(3), regions=(region, region)))
    how = delivery(stored, VALID, now_ns=NOW_NS, dup=False, regions_left_out=2)
    payload = json.loads(result_json(stored, how))

    assert (payload["regions"], payload["regions_left_out"]) == ([], 2)


def test_the_state_carries_the_worker_state() -> None:
    """`worker` has the fields of WIRE.md's worker state, or is null."""
    message = StateMessage(True, "", lost=0, newest_number=7, sent_ns=time.time_ns(), worker=STATE)
    payload = json.loads(as_json(message))

    assert set(payload["worker"]) == {field.name for field in fields(WorkerState)}
    assert json.loads(as_json(replace(message, worker=None)))["worker"] is None


def test_the_package_has_its_own_copy_of_nothing() -> None:
    """Field names of a result are taken from their declarations, never written down a second time."""
    folder = Path(__file__).parents[4] / "worker" / "cmfm_gateway" / "mqtt"
    text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))

    assert '"threshold"' not in text
    assert '"peak_px"' not in text

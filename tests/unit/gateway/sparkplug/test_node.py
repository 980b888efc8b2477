"""Births, deaths and data of the edge node, as Sparkplug's own library reads them."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.made_sparkplug import SparkplugPayload, by_name
from tests.unit.made.mqtt_gateway import SILENT, STATE, VALID
from tests.unit.made.verdicts import result

from cmfm_gateway.mqtt.payloads import delivery
from cmfm_gateway.sparkplug.node import EdgeNode, PrimaryHost
from cmfm_gateway.sparkplug.payload import (
    Command,
    DataType,
    Metric,
    PayloadError,
    decode_commands,
    encode_payload,
)
from cmfm_gateway.store import StoredResult
from cmfm_protocol.wire.fields import fields_of
from cmfm_protocol.wire.result import Region, Result
from cmfm_protocol.wire.verdict import Verdict

NOW_MS = 1_770_000_000_000
LIVE = StoredResult(1, result(1, Verdict.FAIL, score=2.0), NOW_MS * 1_000_000, stale=False)


@pytest.fixture(scope="module")
def foreign() -> Iterator[SparkplugPayload]:
    with SparkplugPayload() as library:
        yield library


def node(*, bd_seq: int = 3) -> EdgeNode:
    return EdgeNode("cmfm", "line1", bd_seq=bd_seq, commands=False)


def result_data(edge: EdgeNode, stored: StoredResult = LIVE, *, historical: bool = False) -> bytes:
    how = delivery(stored, VALID, now_ns=NOW_MS * 1_000_000, dup=historical)
    return edge.result_data(stored, how, historical=historical, now_ms=NOW_MS)


def test_death_and_birth_belong_together(foreign: SparkplugPayload) -> None:
    """Both carry the same bdSeq; the death has no sequence number, the birth has 0."""
    edge = node()
    death, birth = foreign.decode(edge.death(NOW_MS)), foreign.decode(edge.birth(VALID, NOW_MS))

    assert by_name(death)["bdSeq"]["value"] == by_name(birth)["bdSeq"]["value"] == "3"
    assert by_name(birth)["bdSeq"]["type"] == "Int64"
    assert birth["seq"] == "0"
    assert "seq" not in death
    assert [metric["name"] for metric in death["metrics"]] == ["bdSeq"]


def test_the_birth_has_every_metric_with_its_type(foreign: SparkplugPayload) -> None:
    """A host learns all names and types from it; there is no part at hand, so the result is null and not valid."""
    metrics = by_name(foreign.decode(node().birth(VALID, NOW_MS)))

    assert {f"Result/{field.name}" for field in fields_of(Result)} <= set(metrics)
    assert (metrics["Node Control/Rebirth"]["value"], metrics["Line/valid"]["value"]) == (False, True)
    assert metrics["Worker/counts/fault"]["value"] == "1"
    assert metrics["Worker/recipes"]["value"] == '["praline", "circuit"]'
    assert (metrics["Result/score"]["type"], metrics["Result/score"]["value"]) == ("Double", None)
    assert (metrics["Result/verdict"]["value"], metrics["Result/valid"]["value"]) == (None, False)
    assert metrics["Worker/part_ms"]["value"] is None
    assert "Node Control/Recipe" not in metrics


def test_a_result_arrives_with_every_field(foreign: SparkplugPayload) -> None:
    """Values, types and the verdict's own time; lists are JSON."""
    region = Region((1, 2, 3, 4), 9, None, 0.5, (1, 2), "2d")
    stored = replace(LIVE, result=replace(LIVE.result, regions=(region,), detail="außen"))
    edge = node()
    edge.birth(VALID, NOW_MS)
    payload = foreign.decode(result_data(edge, stored))
    metrics = by_name(payload)

    assert payload["seq"] == "1"
    assert (metrics["Result/verdict"]["value"], metrics["Result/detail"]["value"]) == ("FAIL", "außen")
    assert (metrics["Result/score"]["value"], metrics["Result/valid"]["value"]) == (2.0, True)
    assert metrics["Result/trigger_ns"]["value"] == str(LIVE.result.trigger_ns)
    assert metrics["Result/done_ns"]["timestamp"] == str(LIVE.result.done_ns // 1_000_000)
    assert '"bbox": [1, 2, 3, 4]' in metrics["Result/regions"]["value"]
    assert not any(metric.get("isHistorical") for metric in metrics.values())


def test_what_is_sent_later_is_historical(foreign: SparkplugPayload) -> None:
    """A replayed result does not become the present value: every one of its metrics says so."""
    metrics = by_name(foreign.decode(result_data(node(), historical=True)))

    assert all(metric["isHistorical"] for metric in metrics.values())


def test_the_line_is_reported_by_exception(foreign: SparkplugPayload) -> None:
    """Only what has changed is sent; a heartbeat that says nothing new sends nothing."""
    edge = node()
    edge.birth(VALID, NOW_MS)
    beat = replace(VALID, state=replace(STATE, sent_ns=2, uptime_s=13.0))

    assert edge.line_data(beat, NOW_MS) is None
    silent = edge.line_data(replace(SILENT, state=beat.state), NOW_MS)
    assert silent is not None
    metrics = by_name(foreign.decode(silent))
    assert set(metrics) == {"Line/valid", "Line/cause", "Worker/sent_ns", "Worker/uptime_s"}
    assert (metrics["Line/valid"]["value"], metrics["Line/cause"]["value"]) == (False, "silence")
    assert edge.line_data(replace(SILENT, state=beat.state), NOW_MS) is None


def test_a_vanished_worker_state_becomes_null(foreign: SparkplugPayload) -> None:
    """Values that nobody vouches for any more are null, not the last ones."""
    edge = node()
    edge.birth(VALID, NOW_MS)
    data = edge.line_data(replace(SILENT, state=None), NOW_MS)

    assert data is not None
    assert by_name(foreign.decode(data))["Worker/phase"]["value"] is None


def test_sequence_numbers_run_from_0_to_255_and_start_again_at_a_birth(foreign: SparkplugPayload) -> None:
    """The host counts them: 255 is followed by 0, a rebirth by 1."""
    edge = node()
    edge.birth(VALID, NOW_MS)
    numbers = [int(foreign.decode(result_data(edge))["seq"]) for _ in range(257)]

    assert numbers == [*range(1, 256), 0, 1]
    edge.birth(VALID, NOW_MS)
    assert int(foreign.decode(result_data(edge))["seq"]) == 1


def test_bd_seq_wraps_at_256(foreign: SparkplugPayload) -> None:
    """It is one byte's worth."""
    assert by_name(foreign.decode(node(bd_seq=256).death(NOW_MS)))["bdSeq"]["value"] == "0"


def test_negative_numbers_are_twos_complement(foreign: SparkplugPayload) -> None:
    """Sparkplug has unsigned fields alone; the type says how to read them."""
    payload = encode_payload([Metric("a", DataType.INT64, -5, 1)], timestamp_ms=1, seq=0)

    assert int(by_name(foreign.decode(payload))["a"]["value"]) % 2**64 == 2**64 - 5


def test_commands_of_a_host_are_read(foreign: SparkplugPayload) -> None:
    """Booleans and texts arrive; a metric of another type has no value here."""
    payload = foreign.encode(
        {"name": "Node Control/Rebirth", "type": "Boolean", "value": True},
        {"name": "Node Control/Recipe", "type": "String", "value": "praline"},
        {"name": "other", "type": "Bytes", "value": [1, 2]},
    )

    assert decode_commands(payload) == [
        Command("Node Control/Rebirth", True),
        Command("Node Control/Recipe", "praline"),
        Command("other", None),
    ]


@pytest.mark.parametrize(
    "payload",
    [
        b"\x12\x04\x0a\x02\xff\xfe",
        b"\x12\x07\x0a\x01a\x7a\x02\xff\xfe",
        b"\xff\xff\xff",
        b"\x12\xff\xff\xff\xff\x0f",
        b"\x0a\x01a" * 2000,
        b"\x12\x00" * 65,
    ],
    ids=[
        "a name that is not UTF-8",
        "a value that is not UTF-8",
        "no message",
        "a length beyond the end",
        "too long",
        "too many metrics",
    ],
)
def test_bytes_that_are_no_command_are_an_error_of_the_protocol(payload: bytes) -> None:
    """Whatever arrives, it is a PayloadError or a command, nothing else."""
    with pytest.raises(PayloadError):
        decode_commands(payload)


@given(st.binary(max_size=200) | st.text(max_size=40).map(lambda text: b"\x12" + text.encode()))
def test_any_bytes_are_a_command_or_an_error_of_the_protocol(payload: bytes) -> None:
    """Nothing else comes out of what a host may send; names and values are text, numbers or nothing."""
    with contextlib.suppress(PayloadError):
        for command in decode_commands(payload):
            assert isinstance(command.name, str)
            assert command.value is None or isinstance(command.value, str | int | float | bool)


def test_the_primary_host_is_online_by_its_newest_message() -> None:
    """A message of before, a malformed one and one of another kind change nothing."""
    host = PrimaryHost("scada")
    assert host.topic == "spBv1.0/STATE/scada"
    assert host.hear(b'{"online": true, "timestamp": 100}')
    assert host.online
    assert not host.hear(b'{"online": false, "timestamp": 99}')
    for wrong in (
        b"OFFLINE",
        b"[]",
        b'{"online": 0, "timestamp": 101}',
        b'{"online": false}',
        b"[" * 5000,
        b"\xff",
    ):
        assert not host.hear(wrong)
    assert host.online
    assert host.hear(b'{"online": false, "timestamp": 100}')
    assert not host.online

"""Heartbeats, requests and replies."""

from collections import Counter
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from cmfm_protocol import (
    CameraState,
    DrainRequest,
    LoadRecipeRequest,
    LocalProtocolError,
    Reason,
    RemoteProtocolError,
    Reply,
    Request,
    Result,
    ResultsPage,
    ResultsSinceRequest,
    SourceState,
    WorkerState,
    decode_camera_state,
    decode_reply,
    decode_request,
    decode_worker_state,
    encode_camera_state,
    encode_reply,
    encode_request,
    encode_result,
    encode_results_reply,
    encode_worker_state,
    topic,
)
from cmfm_protocol.wire import limits
from cmfm_protocol.wire.fields import plain

TOPIC = topic("line1", "station1", "state")
COUNTS = {"triggers": 3, "pass": 1, "fail": 0, "undecided": 0, "fault": 2}
WORKER = WorkerState(
    boot_id="boot",
    phase="ready",
    uptime_s=1.0,
    counts=COUNTS,
    faults_by_reason={"lost": 2},
    sources=(SourceState("tcp://127.0.0.1:5555", "camera-boot-1", alive=True, last_seen_ns=0),),
    queue_free=4,
    in_flight=0,
    recipes=("bagel",),
    device="cpu",
    sent_ns=1,
)
CAMERA = CameraState("camera-boot-1", next_seq=8, closing=False, sent_ns=1)


def test_counters_may_be_counters() -> None:
    """Counts kept by Reason go out and come back by name."""
    state = replace(WORKER, faults_by_reason=Counter({Reason.LOST: 2, Reason.DEADLINE: 1}))
    assert decode_worker_state(encode_worker_state(TOPIC, state)).faults_by_reason == {
        "deadline": 1,
        "lost": 2,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "running"},
        {"uptime_s": float("nan")},
        {"uptime_s": -1.0},
        {"counts": {"triggers": 3}},
        {"counts": {**COUNTS, "other": 1}},
        {"counts": {**COUNTS, "pass": -1}},
        {"faults_by_reason": {"grey_band": 1}},
        {"faults_by_reason": {"lost": 1.5}},
        {"sources": (None,)},
        {"sources": WORKER.sources * 65},
        {"recipes": ("..",)},
        {"recipes": ("a/b",)},
        {"recipes": "bagel"},
        {"boot_id": ""},
        {"part_ms": -1.0},
        {"part_ms": float("inf")},
    ],
)
def test_wrong_worker_state_is_neither_sent_nor_believed(change: dict[str, Any]) -> None:
    """Both sides refuse the same values, and name the field."""
    wrong, field = replace(WORKER, **change), next(iter(change))
    with pytest.raises(LocalProtocolError, match=field):
        encode_worker_state(TOPIC, wrong)
    with pytest.raises(RemoteProtocolError, match=field):
        decode_worker_state([TOPIC, msgpack.packb({"v": 1, **plain(wrong)})])


def test_largest_worker_state_fits_its_limit() -> None:
    """A worker with every recipe and camera it may have still has a heartbeat."""
    text, name = "x" * limits.MAX_TEXT_BYTES, "n" * limits.MAX_NAME_CHARS
    source = SourceState(text, text, alive=True, last_seen_ns=limits.MAX_TIME_NS)
    largest = replace(
        WORKER, sources=(source,) * limits.MAX_SOURCES, recipes=(name,) * limits.MAX_RECIPES, device=text
    )
    assert len(encode_worker_state(TOPIC, largest)[1]) < limits.MAX_STATE_BYTES / 2


@pytest.mark.parametrize("change", [{"next_seq": -1}, {"closing": 0}, {"stream_uuid": ""}, {"sent_ns": None}])
def test_wrong_camera_state_is_neither_sent_nor_believed(change: dict[str, Any]) -> None:
    """A wrong heartbeat is refused on both sides, so that it announces no part."""
    wrong = replace(CAMERA, **change)
    with pytest.raises(LocalProtocolError):
        encode_camera_state(TOPIC, wrong)
    with pytest.raises(RemoteProtocolError):
        decode_camera_state([TOPIC, msgpack.packb({"v": 1, **plain(wrong)})])


def test_camera_state_is_no_worker_state() -> None:
    """The two heartbeats, which share a kind of topic, cannot be taken for each other."""
    with pytest.raises(RemoteProtocolError):
        decode_worker_state(encode_camera_state(TOPIC, CAMERA))
    with pytest.raises(RemoteProtocolError):
        decode_camera_state(encode_worker_state(TOPIC, WORKER))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc0",
        b"\x80",
        msgpack.packb({"v": 1, "id": "1"}),
        msgpack.packb({"v": 1, "id": "1", "op": "shutdown"}),
        msgpack.packb({"v": 1, "id": "1", "op": ["status"]}),
        msgpack.packb({"v": 2, "id": "1", "op": "status"}),
        msgpack.packb({"v": 1, "id": "", "op": "status"}),
        msgpack.packb({"v": 1, "op": "status"}),
        msgpack.packb({"v": 1, "id": "1", "op": "load_recipe"}),
        msgpack.packb({"v": 1, "id": "1", "op": "load_recipe", "recipe": "../../etc"}),
        msgpack.packb({"v": 1, "id": "1", "op": "load_recipe", "recipe": ".."}),
        msgpack.packb({"v": 1, "id": "1", "op": "results_since", "boot_id": "b", "result_id": -1}),
        msgpack.packb({"v": 1, "id": "1", "op": "results_since", "boot_id": "b", "result_id": 1, "limit": 0}),
        msgpack.packb(
            {"v": 1, "id": "1", "op": "results_since", "boot_id": "b", "result_id": 1, "limit": 501}
        ),
        msgpack.packb({"v": 1, "id": "1", "op": "status", "padding": "x" * limits.MAX_REQUEST_BYTES}),
    ],
)
def test_wrong_request_is_refused(body: bytes) -> None:
    """A request that is not exactly one of the five is refused."""
    with pytest.raises(RemoteProtocolError):
        decode_request(body)


@pytest.mark.parametrize(
    "request_", [DrainRequest(""), LoadRecipeRequest("1", "a/b"), ResultsSinceRequest("1", "b", 0, 501)]
)
def test_wrong_request_is_not_sent(request_: Request) -> None:
    """A client's mistake is an error before anything is sent."""
    with pytest.raises(LocalProtocolError):
        encode_request(request_)


def test_limit_of_a_page_has_a_default() -> None:
    """A client that does not say how many results it wants gets a full page."""
    body = msgpack.packb({"v": 1, "id": "1", "op": "results_since", "boot_id": "", "result_id": 0})
    assert decode_request(body) == ResultsSinceRequest("1", "", 0, limits.MAX_RESULTS_PER_REPLY)


def test_error_always_fits() -> None:
    """A long or multi-line error is made to fit its reply."""
    reply = decode_reply(encode_reply(Reply("1", ok=False, error="two\nlines " + "x" * 1000)))
    assert reply.error.startswith("two lines xxx")


def test_page_is_the_same_from_values_and_from_bytes(passed: Result) -> None:
    """Results that were kept as bytes come back as those that were sent."""
    results = tuple(replace(passed, result_id=i, seq=i) for i in range(1, 4))
    page = ResultsPage("boot", 1, 3, results, complete=True)
    payloads = [encode_result(topic("line1", "station1", "result"), result)[1] for result in results]
    from_bytes = encode_results_reply(
        "9", boot_id="boot", oldest_id=1, newest_id=3, payloads=payloads, complete=True
    )
    expected = Reply("9", ok=True, page=page)
    assert decode_reply(from_bytes) == decode_reply(encode_reply(expected)) == expected


def test_full_page_can_be_read(passed: Result) -> None:
    """The largest page a worker may send is one that a client accepts; one more is refused."""
    payload = encode_result(topic("line1", "station1", "result"), passed)[1]
    names = {"boot_id": "boot", "oldest_id": 1, "newest_id": 9999, "complete": False}
    most = limits.MAX_RESULTS_PER_REPLY
    reply = decode_reply(encode_results_reply("1", payloads=[payload] * most, **names))  # type: ignore[arg-type]  # mixed values
    assert reply.page is not None
    assert len(reply.page.results) == most
    with pytest.raises(LocalProtocolError):
        encode_results_reply("1", payloads=[payload] * (most + 1), **names)  # type: ignore[arg-type]  # mixed values


def test_recovered_result_obeys_the_same_rules(passed: Result) -> None:
    """A PASS that contradicts itself is refused in a page, too."""
    page = plain(ResultsPage("boot", 1, 1, (replace(passed, score=0.9),), complete=True))
    body = msgpack.packb({"v": 1, "id": "1", "ok": True, "page": page})
    with pytest.raises(RemoteProtocolError, match=r"results\[0\].verdict"):
        decode_reply(body)

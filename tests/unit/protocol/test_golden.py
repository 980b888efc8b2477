"""One table of (value, bytes) for both directions: golden messages ↔ values (tests/vectors/README.md)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgpack
import numpy as np
import pytest

from cmfm_protocol import (
    AnnounceRequest,
    ArraySpec,
    AuditRequest,
    CameraState,
    CollectRequest,
    CollectState,
    DrainRequest,
    FrameHeader,
    LoadRecipeRequest,
    Reason,
    Region,
    Reply,
    Result,
    ResultsPage,
    ResultsSinceRequest,
    SourceState,
    StatusRequest,
    TriggerMessage,
    Verdict,
    WorkerState,
    decode_camera_state,
    decode_frame,
    decode_reply,
    decode_request,
    decode_result,
    decode_trigger,
    decode_worker_state,
    encode_camera_state,
    encode_frame,
    encode_reply,
    encode_request,
    encode_result,
    encode_results_reply,
    encode_trigger,
    encode_worker_state,
    topic,
)

Golden = Callable[[str], list[bytes]]

STREAM = "0d4c9c9e6a1b4f6fb8f9b2f6d0a3c111"
BOOT = "7be1f0f6b7a94f0d9d6a3c5e2b1a0f22"
TRIGGER_NS = 1_760_000_000_123_456_789

RGB = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
XYZ = np.array([0.0] * 3 + [np.nan] * 3 + [0.125 * n - 0.25 for n in range(12)], dtype=np.float32).reshape(
    2, 3, 3
)
RGB_SPEC = ArraySpec("rgb", "|u1", (2, 3, 3), 18, "sRGB", "none")
XYZ_SPEC = ArraySpec("xyz", "<f4", (2, 3, 3), 72, "m", "nan|0,0,0")

FULL = FrameHeader(
    stream_uuid=STREAM,
    seq=41,
    part_id="bagel-0041",
    trigger_ns=TRIGGER_NS,
    deadline_ms=150.0,
    recipe="bagel",
    clock="realtime",
    encoder=-7,
    calib_id="cal-2025-10",
    simulated=True,
    pub_drops=2,
    exposure_us=2500.5,
    gain=1.5,
    temperature_c=41.25,
)
BEFORE_SENSOR = replace(FULL, exposure_us=None, gain=None, temperature_c=None)
BARE = FrameHeader(
    stream_uuid=STREAM,
    seq=0,
    part_id="",
    trigger_ns=0,
    deadline_ms=200.0,
    recipe="",
    clock="none",
    exposure_us=800.0,  # a camera's own key when the vector was made; a field since 1.3
    arrays=(RGB_SPEC, XYZ_SPEC),
)
FAIL = Result(
    result_id=42,
    boot_id=BOOT,
    stream_uuid=STREAM,
    seq=41,
    part_id="bagel-0041",
    verdict=Verdict.FAIL,
    reason=Reason.ABOVE_THRESHOLD,
    detail="",
    score=0.75,
    threshold=0.5,
    recipe="bagel",
    model_sha="5f" * 32,
    calib_id="cal-2025-10",
    trigger_ns=TRIGGER_NS,
    received_ns=TRIGGER_NS + 10_000_000,
    done_ns=TRIGGER_NS + 60_000_000,
    latency_us=60_000,
    deadline_met=True,
    simulated=True,
    queue_free=15,
    drops_total=3,
    coverage=0.875,
    peak_px=(100, 120),
    peak_xyz_m=(0.0125, -0.0625, 0.5),
    regions=(Region((96, 112, 108, 128), 150, 37.5, 0.75, (100, 120), "3d"),),
    map_ref=f"{BOOT}/42",
    camera="left",
)
LOST = replace(
    FAIL,
    result_id=43,
    seq=42,
    part_id="",
    verdict=Verdict.FAULT,
    reason=Reason.LOST,
    detail="no frame arrived for this seq",
    score=None,
    threshold=None,
    recipe="",
    model_sha="",
    calib_id="",
    received_ns=None,
    deadline_met=False,
    simulated=False,
    coverage=None,
    peak_px=None,
    peak_xyz_m=None,
    regions=(),
    map_ref="",
)
CAMERA = CameraState(STREAM, next_seq=43, closing=False, sent_ns=1_760_000_001 * 10**9, pub_drops=2)
WORKER = WorkerState(
    boot_id=BOOT,
    phase="ready",
    uptime_s=12.5,
    counts={"triggers": 43, "pass": 40, "fail": 1, "undecided": 1, "fault": 1},
    faults_by_reason={"lost": 1},
    sources=(
        SourceState(
            "tcp://127.0.0.1:5555",
            STREAM,
            alive=True,
            last_seen_ns=1_760_000_000 * 10**9,
            last_frame_ns=1_759_999_999 * 10**9,
            name="left",
        ),
    ),
    queue_free=16,
    in_flight=0,
    recipes=("bagel", "cookie"),
    device="cpu",
    sent_ns=1_760_000_001 * 10**9,
    part_ms=104.5,
    collecting=CollectState("praline", 50, 12, 1, 3, "bagel", "the disk is full"),
)
BEFORE_COLLECTING = replace(WORKER, collecting=None)
BEFORE_NAMES = replace(BEFORE_COLLECTING, sources=(replace(WORKER.sources[0], last_frame_ns=0, name=""),))
BEFORE_PART_MS = replace(BEFORE_NAMES, part_ms=None)
FAIL_BEFORE_NAMES, LOST_BEFORE_NAMES = replace(FAIL, camera=""), replace(LOST, camera="")
TRIGGER = TriggerMessage(
    stream_uuid=STREAM,
    seq=41,
    part_id="bagel-0041",
    trigger_ns=TRIGGER_NS,
    deadline_ms=150.0,
    recipe="bagel",
    clock="realtime",
    encoder=-7,
    calib_id="cal-2025-10",
    simulated=True,
    sealed=True,
)
RESULT_TOPIC = topic("line1", "station1", "result")
STATE_TOPIC = topic("line1", "station1", "state")


def encode_page(reply: Reply) -> bytes:
    assert reply.page is not None
    page = reply.page
    return encode_results_reply(
        reply.id,
        boot_id=page.boot_id,
        oldest_id=page.oldest_id,
        newest_id=page.newest_id,
        payloads=[encode_result(RESULT_TOPIC, result)[1] for result in page.results],
        complete=page.complete,
    )


@dataclass(frozen=True)
class Case:
    """A golden message: its value, and how to go either way."""

    file: str
    value: object
    encode: Callable[[Any], list[bytes]]
    decode: Callable[[list[bytes]], object]


def of_map(
    file: str, value: object, encode: Callable[[bytes, Any], list[bytes]], decode: Any, name: bytes
) -> Case:
    return Case(file, value, lambda v: encode(name, v), decode)


def of_body(file: str, value: object, encode: Callable[[Any], bytes], decode: Any) -> Case:
    return Case(file, value, lambda v: [encode(v)], lambda frames: decode(frames[0]))


CASES = [
    of_map("result_v1_fail_named", FAIL, encode_result, decode_result, RESULT_TOPIC),
    of_map("result_v1_lost_named", LOST, encode_result, decode_result, RESULT_TOPIC),
    of_map("camera_state_v1", CAMERA, encode_camera_state, decode_camera_state, STATE_TOPIC),
    of_map("worker_state_v1_collecting", WORKER, encode_worker_state, decode_worker_state, STATE_TOPIC),
    of_map("trigger_v1", TRIGGER, encode_trigger, decode_trigger, topic("line1", "station1", "trigger")),
    of_body(
        "request_v1_announce_named",
        AnnounceRequest("5", replace(TRIGGER, sealed=False), "left"),
        encode_request,
        decode_request,
    ),
    of_body("request_v1_status", StatusRequest("1"), encode_request, decode_request),
    of_body("request_v1_load_recipe", LoadRecipeRequest("2", "bagel"), encode_request, decode_request),
    of_body(
        "request_v1_collect", CollectRequest("6", "praline", 50, 3, "bagel"), encode_request, decode_request
    ),
    of_body(
        "request_v1_audit",
        AuditRequest(
            "7", "c0ffee", 1_760_000_000 * 10**9, "ann", "recipe.threshold", "bagel", "0.5", "0.625"
        ),
        encode_request,
        decode_request,
    ),
    of_body("request_v1_drain", DrainRequest("3"), encode_request, decode_request),
    of_body(
        "request_v1_results_since", ResultsSinceRequest("4", BOOT, 41, 100), encode_request, decode_request
    ),
    of_body(
        "reply_v1_refused", Reply("2", ok=False, error="no recipe 'bagle' here"), encode_reply, decode_reply
    ),
    of_body("reply_v1_state_collecting", Reply("1", ok=True, state=WORKER), encode_reply, decode_reply),
    of_body(
        "reply_v1_page_named",
        Reply("4", ok=True, page=ResultsPage(BOOT, 1, 43, (FAIL, LOST), complete=True)),
        encode_page,
        decode_reply,
    ),
]

OLDER = [
    of_map("worker_state_v1_named", BEFORE_COLLECTING, encode_worker_state, decode_worker_state, STATE_TOPIC),
    of_body("reply_v1_state_named", Reply("1", ok=True, state=BEFORE_COLLECTING), encode_reply, decode_reply),
    of_body(
        "request_v1_announce",
        AnnounceRequest("5", replace(TRIGGER, sealed=False)),
        encode_request,
        decode_request,
    ),
    of_map("result_v1_fail", FAIL_BEFORE_NAMES, encode_result, decode_result, RESULT_TOPIC),
    of_map("result_v1_lost", LOST_BEFORE_NAMES, encode_result, decode_result, RESULT_TOPIC),
    of_map("worker_state_v1_part_ms", BEFORE_NAMES, encode_worker_state, decode_worker_state, STATE_TOPIC),
    of_body("reply_v1_state_part_ms", Reply("1", ok=True, state=BEFORE_NAMES), encode_reply, decode_reply),
    of_body(
        "reply_v1_page",
        Reply(
            "4", ok=True, page=ResultsPage(BOOT, 1, 43, (FAIL_BEFORE_NAMES, LOST_BEFORE_NAMES), complete=True)
        ),
        encode_page,
        decode_reply,
    ),
    of_map("worker_state_v1", BEFORE_PART_MS, encode_worker_state, decode_worker_state, STATE_TOPIC),
    of_body("reply_v1_state", Reply("1", ok=True, state=BEFORE_PART_MS), encode_reply, decode_reply),
]
"""Sent before a key was added; read for ever."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_value_becomes_the_golden_bytes(case: Case, golden: Golden) -> None:
    """Encoders write the golden bytes exactly."""
    assert case.encode(case.value) == golden(case.file)


@pytest.mark.parametrize("case", [*CASES, *OLDER], ids=lambda case: case.file)
def test_golden_bytes_become_the_value(case: Case, golden: Golden) -> None:
    """Decoders read the golden bytes of every version 1."""
    assert case.decode(golden(case.file)) == case.value


def test_frame_becomes_the_golden_bytes(golden: Golden) -> None:
    """The frame's header, arrays, checksums and seal are those of the wire, to the byte."""
    frames = encode_frame(topic("line1", "station1", "frame"), FULL, RGB, XYZ)
    assert [bytes(frame) for frame in frames] == golden("frame_v1_sensor")


@pytest.mark.parametrize(("file", "header"), [("frame_v1", BEFORE_SENSOR), ("frame_v1_sensor", FULL)])
def test_golden_frame_becomes_the_value(golden: Golden, file: str, header: FrameHeader) -> None:
    """A sealed frame decodes to exactly what the camera took, with the sensor's state and from before it was sent."""
    frame = decode_frame(golden(file))
    assert frame.sealed
    assert [spec.name for spec in frame.header.arrays] == ["rgb", "xyz"]
    assert replace(frame.header, arrays=()) == header
    assert frame.rgb.dtype == np.uint8
    assert frame.xyz.dtype == np.float32
    np.testing.assert_array_equal(frame.rgb, RGB)
    np.testing.assert_array_equal(frame.xyz, XYZ)


def test_golden_bare_frame_becomes_the_value(golden: Golden) -> None:
    """Optional keys may be left out, integers stand for numbers, also in a key that later became a field."""
    frame = decode_frame(golden("frame_v1_bare"))
    assert not frame.sealed
    assert frame.header == BARE
    np.testing.assert_array_equal(frame.xyz, XYZ)


def test_golden_bare_trigger_becomes_the_value(golden: Golden) -> None:
    """Whoever fires the camera needs no checksums and no optional keys, and may add keys of its own."""
    bare = TriggerMessage(STREAM, 0, "", 0, 200.0, "", clock="none")
    assert decode_trigger(golden("trigger_v1_bare")) == bare


def test_every_vector_is_in_a_test(golden: Golden, pytestconfig: pytest.Config) -> None:
    """A golden file that nobody checks protects nobody."""
    files = {path.stem for path in (pytestconfig.rootpath / "tests" / "vectors").glob("*.hex")}
    assert files == {case.file for case in [*CASES, *OLDER]} | {
        "frame_v1",
        "frame_v1_sensor",
        "frame_v1_bare",
        "trigger_v1_bare",
    }


def test_version_is_the_first_key(golden: Golden) -> None:
    """A message of another major version can be told before the rest is understood."""
    for name in ("frame_v1", "result_v1_fail", "worker_state_v1"):
        assert next(iter(msgpack.unpackb(golden(name)[1]))) == "v"

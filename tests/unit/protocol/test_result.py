"""Results: a PASS that was not earned cannot be sent and is not believed."""

from dataclasses import replace
from typing import Any

import msgpack
import pytest

from cmfm_protocol import (
    FAULT_REASONS,
    OPC_40001_101,
    REASONS_OF,
    VERDICT_OF,
    LocalProtocolError,
    Reason,
    Region,
    RemoteProtocolError,
    Result,
    Verdict,
    decode_result,
    encode_result,
    fit_text,
    topic,
)
from cmfm_protocol.wire import limits
from cmfm_protocol.wire.fields import fields_of, plain

TOPIC = topic("line1", "station1", "result")
FAULT: dict[str, Any] = {
    "verdict": Verdict.FAULT,
    "reason": Reason.DEADLINE,
    "score": None,
    "threshold": None,
}

CONTRADICTIONS: list[dict[str, Any]] = [
    {"score": None},
    {"threshold": None},
    {"received_ns": None},
    {"deadline_met": False},
    {"score": 0.5},  # at the threshold is not below it
    {"score": 0.75},
    {"verdict": Verdict.FAIL},
    {"verdict": Verdict.FAIL, "reason": Reason.ABOVE_THRESHOLD},  # 0.25 is below 0.5
    {"verdict": Verdict.FAIL, "reason": Reason.ABOVE_THRESHOLD, "score": 0.5, "deadline_met": False},
    {"reason": Reason.GREY_BAND},
    {"reason": Reason.LOST},
    {"verdict": Verdict.UNDECIDED},
    {"verdict": Verdict.FAULT},
    {"verdict": Verdict.FAULT, "reason": Reason.DRIFT},
]

WRONG_FIELDS: list[tuple[str, Any]] = [
    ("score", float("nan")),
    ("score", float("inf")),
    ("threshold", float("-inf")),
    ("score", True),
    ("score", "0.1"),
    ("verdict", "OK"),
    ("verdict", "pass"),
    ("verdict", None),
    ("reason", "because"),
    ("result_id", 0),
    ("result_id", 1.0),
    ("boot_id", ""),
    ("seq", -1),
    ("latency_us", -1),
    ("deadline_met", 1),
    ("peak_px", (1,)),
    ("peak_px", (1, 2, 3)),
    ("peak_px", (1, -1)),
    ("peak_px", (1, 225)),
    ("peak_xyz_m", (0.0, 0.0, float("nan"))),
    ("coverage", -0.5),
    ("done_ns", None),
    ("map_ref", None),
    ("regions", None),
    ("regions", (None,)),
    ("regions", (Region((0, 0, 1, 1), 1, None, 0.5, (0, 0), "4d"),)),
    ("regions", (Region((0, 0, 1, 1), 1, None, float("nan"), (0, 0), "2d"),)),
    ("regions", (Region((0, 0, 1, 1), 1, None, 0.5, (0, 0), "2d"),) * 65),
]


def forged(result: Result) -> list[bytes]:
    """A message as a peer without our checks would send it."""
    return [TOPIC, msgpack.packb({"v": 1, **plain(result)})]


@pytest.mark.parametrize("change", CONTRADICTIONS)
def test_contradiction_is_neither_sent_nor_believed(passed: Result, change: dict[str, Any]) -> None:
    """PASS and FAIL need a score on the right side of a threshold, a received frame and a deadline that was met."""
    wrong = replace(passed, **change)
    with pytest.raises(LocalProtocolError):
        encode_result(TOPIC, wrong)
    with pytest.raises(RemoteProtocolError) as caught:
        decode_result(forged(wrong))
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(("field", "value"), WRONG_FIELDS)
def test_wrong_field_is_neither_sent_nor_believed(passed: Result, field: str, value: Any) -> None:
    """Both sides refuse the same values, and name the field."""
    wrong = (
        replace(passed, **FAULT, **{field: value})
        if field not in FAULT
        else replace(passed, **{field: value})
    )
    with pytest.raises(LocalProtocolError, match=field):
        encode_result(TOPIC, wrong)
    with pytest.raises(RemoteProtocolError, match=field):
        decode_result(forged(wrong))


@pytest.mark.parametrize("field", [field.name for field in fields_of(Result) if not field.since])
def test_every_field_of_version_1_0_is_required(passed: Result, field: str) -> None:
    """A result with a missing field is no result; only keys that were added later may be missing."""
    data = {"v": 1, **plain(passed)}
    del data[field]
    with pytest.raises(RemoteProtocolError, match=field):
        decode_result([TOPIC, msgpack.packb(data)])


@pytest.mark.parametrize("reason", sorted(FAULT_REASONS))
def test_every_fault_goes_through_without_a_score(passed: Result, reason: Reason) -> None:
    """A part that was not inspected has a result, too."""
    fault = replace(passed, **FAULT | {"reason": reason}, received_ns=None, deadline_met=False)
    assert decode_result(encode_result(TOPIC, fault)) == fault


@pytest.mark.parametrize(
    ("version", "reason"), [(2, Reason.UNKNOWN_VERSION), ("1", Reason.MALFORMED), (True, Reason.MALFORMED)]
)
def test_other_version_is_refused(passed: Result, version: object, reason: Reason) -> None:
    """A result of another major version is refused."""
    with pytest.raises(RemoteProtocolError) as caught:
        decode_result([TOPIC, msgpack.packb({**plain(passed), "v": version})])
    assert caught.value.reason is reason


@pytest.mark.parametrize("count", [0, 1, 3])
def test_wrong_number_of_message_frames_is_refused(passed: Result, count: int) -> None:
    """A result is a topic and one map."""
    frames = [*encode_result(TOPIC, passed), b"more"][:count]
    with pytest.raises(RemoteProtocolError):
        decode_result(frames)


def test_detail_never_costs_a_verdict(passed: Result) -> None:
    """A detail that is long or has line breaks is made to fit, so that the FAULT is sent."""
    detail = "Traceback:\n\tω\ud800" + "ß" * 500
    fault = replace(passed, **FAULT, detail=detail)
    shown = decode_result(encode_result(TOPIC, fault)).detail
    assert shown.startswith("Traceback:  ω ßß")
    assert 250 < len(shown.encode()) <= limits.MAX_TEXT_BYTES


def test_fit_text_leaves_good_text_alone() -> None:
    """Text that fits is not touched."""
    assert fit_text("peak at (3, 4) µm") == "peak at (3, 4) µm"


def test_largest_result_fits_its_limit(passed: Result) -> None:
    """No legal combination of fields can make a verdict too large to send."""
    long = "x" * limits.MAX_TEXT_BYTES
    region = Region((200, 200, 224, 224), 50_000, 1e9, 1e9, (224, 224), "2d")
    names = ("boot_id", "stream_uuid", "part_id", "detail", "recipe", "model_sha", "calib_id", "map_ref")
    texts: dict[str, Any] = dict.fromkeys(names, long)
    largest = replace(passed, **texts, regions=(region,) * limits.MAX_REGIONS)
    assert len(encode_result(TOPIC, largest)[1]) < limits.MAX_RESULT_BYTES / 2


def test_every_reason_belongs_to_one_verdict() -> None:
    """No reason is ambiguous and none is forgotten; every verdict has its name in OPC 40001-101."""
    assert sum(len(reasons) for reasons in REASONS_OF.values()) == len(Reason) == len(VERDICT_OF)
    assert set(REASONS_OF) == set(OPC_40001_101) == set(Verdict)
    assert len(set(OPC_40001_101.values())) == len(Verdict)

"""The conformance checker: a good camera passes every line, and each broken one fails the line that names its fault."""

import json
import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import msgpack
import numpy as np
import pytest
from tests.unit.made.camera_messages import (
    BOOT_NS,
    START_NS,
    TOPICS,
    UUID,
    Message,
    Session,
    at,
    frame,
    pictures,
    said,
    state,
    trigger,
)

from cmfm_protocol.wire.frame import seal
from cmfm_sim.conform.checker import Conformance
from cmfm_sim.conform.report_lines import Level

FAIL, PASS, REMARK = Level.FAIL, Level.PASS, Level.REMARK
ALL_LINES = {
    "topic", "frame fields", "frames decoded", "trigger fields", "triggers decoded", "state fields", "states decoded",
    "checksums", "arrays", "points", "repeated bytes", "clock", "stream_uuid", "seq", "heartbeats", "next_seq",
    "end of the stream", "part_id", "recipe", "calib_id", "trigger messages", "rate and size",
}  # fmt: skip


def test_good_camera_passes_every_line() -> None:
    """No line fails, none is a remark, and every check has spoken."""
    lines = Session.good().play("line1", "station1")
    assert said(lines, FAIL) == {}
    assert said(lines, REMARK) == {}
    assert set(said(lines, PASS)) == ALL_LINES


def test_minimal_camera_passes_with_remarks() -> None:
    """The camera in 20 lines of WIRE.md: no seal, no triggers, no heartbeats. All of it is allowed."""
    session = Session.good().without("trigger").without("state")
    session.replace("frame", lambda message, _: message[:4])
    session.change("frame", plain_header)
    lines = session.play()
    assert said(lines, FAIL) == {}
    assert set(said(lines, REMARK)) == {"checksums", "heartbeats", "trigger messages", "calib_id"}


def plain_header(data: dict[str, Any], _number: int) -> None:
    for key in ("sealed", "calib_id", "pub_drops", "simulated", "encoder", "clock"):
        del data[key]
    for spec in data["arrays"]:
        del spec["crc32"]


def put(key: str, value: Any) -> Callable[[dict[str, Any], int], None]:
    """A change that sets a field of every map; a function is called with the number of the part."""

    def change(data: dict[str, Any], number: int) -> None:
        data[key] = value(number) if callable(value) else value

    return change


def spec(at_: int, key: str, value: Any) -> Callable[[dict[str, Any], int], None]:
    """A change of an array description."""

    def change(data: dict[str, Any], number: int) -> None:
        data["arrays"][at_][key] = value

    return change


def rename(key: str, other: str) -> Callable[[dict[str, Any], int], None]:
    def change(data: dict[str, Any], number: int) -> None:
        data[other] = data.pop(key)

    return change


FIELDS = [
    (put("v", 2), "frame fields", "v is 2 instead of 1"),
    (lambda data, _: data.pop("v"), "frame fields", "v is missing"),
    (put("trigger_ns", float(START_NS)), "frame fields", "trigger_ns: expected an integer, got float"),
    (put("seq", float), "frame fields", "seq: expected an integer"),
    (put("seq", -1), "frame fields", "seq: outside 0"),
    (put("seq", str), "frame fields", "seq: expected an integer"),
    (put("stream_uuid", b"\x01" * 16), "frame fields", "stream_uuid: expected text, got bytes"),
    (put("stream_uuid", "unattributed"), "frame fields", "the worker's own"),
    (put("stream_uuid", ""), "frame fields", "stream_uuid: empty text"),
    (put("deadline_ms", "200"), "frame fields", "deadline_ms: expected a number"),
    (put("deadline_ms", float("nan")), "frame fields", "deadline_ms: not finite"),
    (put("simulated", 0), "frame fields", "simulated: expected true or false"),
    (put("clock", "utc"), "frame fields", "clock: not one of"),
    (put("part_id", "line\nbreak"), "frame fields", "part_id"),
    (put("part_id", None), "frame fields", "part_id: expected text, got nil"),
    (rename("part_id", "partId"), "frame fields", "part_id is missing"),
    (rename("recipe", "Recipe"), "frame fields", "recipe is missing"),
    (lambda data, _: data.pop("arrays"), "frame fields", "arrays is missing"),
    (put("arrays", {}), "frame fields", "arrays: expected a list"),
    (spec(0, "dtype", "uint8"), "arrays", "rgb has dtype 'uint8' instead of '|u1'"),
    (spec(1, "dtype", "<f8"), "arrays", "xyz has dtype '<f8'"),
    (spec(1, "dtype", ">f4"), "arrays", "xyz has dtype '>f4'"),
    (spec(1, "unit", "mm"), "arrays", "xyz has unit 'mm' instead of 'm'"),
    (spec(1, "invalid", "nan"), "arrays", "xyz has invalid 'nan'"),
    (spec(0, "shape", [3, 32, 40]), "arrays", "rgb has shape [3, 32, 40]"),
    (spec(0, "shape", [32, 40, 4]), "arrays", "rgb has shape [32, 40, 4]"),
    (spec(0, "shape", [32, 40]), "arrays", "rgb has shape [32, 40]"),
    (spec(0, "nbytes", 3841), "arrays", "3840 and 15360 bytes arrived, 3841 and 15360"),
    (spec(0, "crc32", 1), "checksums", "crc32 of rgb does not fit its bytes"),
    (spec(0, "crc32", -1), "frame fields", "crc32: outside 0"),
    (put("recipe", "bagel/left"), "recipe", "can be no recipe's name"),
    (put("seq", 7), "seq", "seq does not rise (11 times, first 7 after 7)"),
    (put("seq", lambda n: n - n % 3 if n > 3 else n), "seq", "a number used for two parts"),
    (put("stream_uuid", lambda n: f"{n:032x}"), "stream_uuid", "12 stream_uuids, most of one or two frames"),
    (put("stream_uuid", lambda n: f"{n % 2:032x}"), "stream_uuid", "alternate on one endpoint"),
    (put("seq", lambda n: 2 * n), "seq", "seq rises by 2"),
    (put("seq", lambda n: n + (n > 5) * 3), "seq", "3 numbers never came: 6, 7, 8"),
    (put("seq", lambda n: n + (n > 5) * 5000), "seq", "a jump of more than 1000"),
    (put("seq", lambda n: (n + 250) % 256), "seq", "the counter wraps: it has 8 bits"),
    (put("seq", lambda n: (n + 65_530) % 65_536), "seq", "the counter wraps: it has 16 bits"),
    (put("seq", lambda n: n % 6), "stream_uuid", "the same stream_uuid, and seq counts anew"),
    (put("part_id", "other"), "trigger messages", "differ in part_id"),
    (put("recipe", "other"), "trigger messages", "differ in recipe"),
    (put("stream_uuid", "f" * 32), "trigger messages", "of a stream that sends no frames"),
    (put("stream_uuid", "f" * 32), "heartbeats", "of another stream than the frames"),
    (put("deadline_ms", 2.0), "clock", "frames arrive after their deadline"),
    (put("trigger_ns", START_NS), "clock", "trigger_ns is the same for several numbers"),
    (put("pub_drops", lambda n: 20 - n), "pub_drops", "pub_drops falls"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "check", "words"), FIELDS)
def test_wrong_field_fails_the_line_that_names_it(change: Any, check: str, words: str) -> None:
    """The camera does it in every frame; the line says what is wrong and what to do."""
    lines = Session.good().change("frame", change).play()
    assert words in said(lines, FAIL)[check]
    assert all(line.do and line.section for line in lines if line.level is FAIL)


AGES = [
    (lambda ns: ns // 1000, "microseconds since 1970"),
    (lambda ns: ns // 10**6, "milliseconds since 1970"),
    (lambda ns: ns // 10**9, "seconds since 1970"),
    (lambda ns: ns - START_NS + BOOT_NS, "ns since this host's boot"),
    (lambda ns: (ns - START_NS + BOOT_NS) // 1000, "microseconds since this host's boot"),
    (lambda ns: ns + 37 * 10**9, "TAI"),
    (lambda ns: ns + 2 * 3600 * 10**9, "local time instead of UTC (+2 h)"),
    (lambda ns: ns - 5 * 3600 * 10**9, "local time instead of UTC (-5 h)"),
    (lambda ns: ns // 100 + 116_444_736_000_000_000, "units of 100 ns since 1601"),
    (lambda ns: ns + 400 * 86_400 * 10**9, "ahead: wrong clock or unit"),
    (lambda ns: 5 * 86_400 * 10**9, "a time since a boot"),
]


@pytest.mark.parametrize(("convert", "words"), AGES)
def test_wrong_clock_is_named(convert: Callable[[int], int], words: str) -> None:
    """Unit, epoch or zone, as far as one is known."""

    def change(data: dict[str, Any], _number: int) -> None:
        data["trigger_ns"] = convert(data["trigger_ns"])

    failed = said(Session.good().change("frame", change).change("trigger", change).play(), FAIL)
    assert words in failed["clock"]


@pytest.mark.parametrize("field", ["sent_ns"])
def test_heartbeats_are_timed_too(field: str) -> None:
    """A heartbeat's own time is in ns as well."""
    failed = said(
        Session.good().change("state", lambda data, _: data.update({field: 1_790_000_000})).play(), FAIL
    )
    assert "sent_ns lies" in failed["clock"]
    assert "seconds since 1970" in failed["clock"]


def test_clock_that_is_a_little_ahead_is_a_remark() -> None:
    """Within the tolerance such a trigger counts as fired at its reception."""
    session = Session.good()
    for kind in ("frame", "trigger"):
        session.change(kind, lambda data, _: data.update(trigger_ns=data["trigger_ns"] + 300_000_000))
    lines = session.play()
    assert "clock" not in said(lines, FAIL)
    assert "285 ms ahead of this host's clock" in said(lines, REMARK)["clock"]


def test_time_rounded_as_a_float_is_a_remark() -> None:
    """JavaScript's Date.now() * 1e6 is no integer that it can hold."""

    def change(data: dict[str, Any], number: int) -> None:
        data["trigger_ns"] = int(float((data["trigger_ns"] // 10**6 - number) * 1e6)) // 256 * 256

    lines = Session.good().change("frame", change).change("trigger", change).play()
    assert "BigInt" in next(line.do for line in lines if line.level is REMARK and line.check == "clock")


def test_other_clocks_are_judged_by_themselves() -> None:
    """`monotonic` by this host's own, `none` not at all."""

    def monotonic(data: dict[str, Any], _number: int) -> None:
        data.update(clock="monotonic", trigger_ns=data["trigger_ns"] - START_NS + BOOT_NS)

    lines = Session.good().change("frame", monotonic).change("trigger", monotonic).play()
    assert "clock" not in said(lines, FAIL)
    assert "one machine" in next(line.do for line in lines if line.check == "clock" and line.level is REMARK)
    lines = Session.good().change("frame", put("clock", "monotonic")).play()
    assert 'clock "realtime"' in said(lines, FAIL)["clock"]
    lines = Session.good().change("frame", lambda data, n: data.update(clock="none", trigger_ns=n)).play()
    assert "clock" not in said(lines, FAIL)


def body(make: Callable[[dict[str, Any]], bytes]) -> Callable[[Message, int], Message]:
    """A change of the bytes of every frame's header."""

    def change(message: Message, _number: int) -> Message:
        data = make(msgpack.unpackb(message[1]))
        return [message[0], data, *message[2:4], seal(data)]

    return change


def as_json(data: dict[str, Any]) -> bytes:
    return json.dumps(data).encode()


BODIES = [
    (as_json, "the map is JSON"),
    (lambda data: msgpack.packb(list(data.values())), "the map is a msgpack array"),
    (lambda data: msgpack.packb(data) + b"\0", "bytes after it"),
    (lambda data: msgpack.packb({k.encode(): v for k, v in data.items()}), "keys of type bin"),
    (lambda data: msgpack.packb(dict(enumerate(data.values()))), "whose keys are no text"),
    (lambda data: msgpack.packb({**data, "t": msgpack.Timestamp(1)}), "extension type"),
    (lambda _: b"\x80\x04K\x01.", "a Python pickle"),
    (lambda _: b"", "an empty message frame"),
    (lambda _: b"\xa1\x61v\x01", "CBOR"),
    (lambda _: bytes(70_000), "more than 65536 bytes"),
    (lambda _: b"\xc1\xc1", "no msgpack map"),
]


@pytest.mark.parametrize(("make", "words"), BODIES)
def test_header_that_is_no_map_is_named(make: Callable[[dict[str, Any]], bytes], words: str) -> None:
    """JSON, arrays, pickles and other encodings, each with what to do."""
    failed = said(Session.good().replace("frame", body(make)).play(), FAIL)
    assert words in failed["frame fields"]
    assert "frames decoded" in failed


def with_seal(make: Callable[[bytes], bytes]) -> Callable[[Message, int], Message]:
    return lambda message, _: [*message[:4], make(message[1])]


MESSAGES = [
    (lambda message, _: message[:4], "checksums", "sealed is true and no seal follows"),
    (with_seal(lambda data: seal(data)[::-1]), "checksums", "little-endian"),
    (with_seal(lambda data: seal(data).hex().encode()), "checksums", "it is text"),
    (with_seal(lambda data: seal(data + b"x")), "checksums", "the seal does not fit"),
    (with_seal(lambda _: b"12345"), "checksums", "it has 5 bytes"),
    (lambda message, _: [*message[:2], message[3], message[2], message[4]], "arrays", "exchanged"),
    (
        lambda message, _: [*message[:2], message[2] + message[3]],
        "arrays",
        "1 message frames after the header",
    ),
    (lambda message, _: [*message, b""], "arrays", "4 message frames"),
    (lambda message, _: message[:1], "frame fields", "ends after the topic"),
    (lambda message, _: [*message[:3], message[3][:-12], message[4]], "arrays", "15348 bytes arrived"),
]


@pytest.mark.parametrize(("change", "check", "words"), MESSAGES)
def test_wrong_message_frames_fail_the_line_that_names_them(change: Any, check: str, words: str) -> None:
    """Seals, orders and lengths; the worker's own decoder refuses the message, too."""
    failed = said(Session.good().replace("frame", change).play(), FAIL)
    assert words in failed[check]
    assert "frames decoded" in failed


TOPIC_CASES = [
    (b"cmfm/1/line1/station1/frame", "without its last slash"),
    (b"cmfm/2/line1/station1/frame/", "another major version"),
    (b"/cmfm/1/line1/station1/frame/", "of another form"),
    (b"frame", "of another form"),
    (b"cmfm/1/line 1/station1/frame/", "of another form"),
    (b"cmfm/1/line1/station1/frames/", "of another form"),
    (b"cmfm/1/line1/station1/result/", "is the worker's"),
    (b"cmfm/1/line2/station1/frame/", "topics of 2 places"),
]


@pytest.mark.parametrize(("name", "words"), TOPIC_CASES)
def test_wrong_topic_is_named(name: bytes, words: str) -> None:
    """A worker hears nothing under another topic, so this is the first thing to look at."""
    lines = Session.good().replace("frame", lambda message, _: [name, *message[1:]]).play()
    assert words in said(lines, FAIL)["topic"]


def test_topic_of_another_line_is_told_from_the_workers() -> None:
    """With --line and --station the names are compared."""
    failed = said(Session.good().play("line2", "station1"), FAIL)
    assert "line 'line1' is not 'line2'" in failed["topic"]
    joined = Session.good().replace("frame", lambda message, _: [b"".join(message)])
    assert "topic and payload are joined" in said(joined.play(), FAIL)["topic"]


def points(change: Callable[[np.ndarray[Any, Any]], Any]) -> Callable[[Message, int], Message]:
    """Frames with other points, described and sealed correctly."""

    def made(_message: Message, number: int) -> Message:
        xyz = pictures(number)[1]
        result = change(xyz)
        return frame(number, xyz=xyz if result is None else result.astype(np.float32))

    return made


def fill(value: Any) -> Callable[[np.ndarray[Any, Any]], Any]:
    def change(xyz: np.ndarray[Any, Any]) -> None:
        xyz[3] = value

    return change


POINTS = [
    (lambda xyz: xyz * 1000, FAIL, "millimetres"),
    (lambda xyz: xyz * 1e6, FAIL, "micrometres"),
    (lambda xyz: xyz * -1, FAIL, "sensor's frame"),
    (lambda xyz: xyz / 1000, FAIL, "twice"),
    (lambda xyz: xyz * np.float32(np.nan), FAIL, "without a measured point"),
    (fill(-9999), REMARK, "such as (-9999, -9999, -9999)"),
    (fill(1e10), REMARK, "neither measured nor marked"),
    (fill([0.1, 0.1, 0.0]), REMARK, "neither measured nor marked"),
    (lambda xyz: np.nan_to_num(xyz, nan=0.4), REMARK, "every point of every frame was measured"),
]


@pytest.mark.parametrize(("change", "level", "words"), POINTS)
def test_values_of_points_are_looked_at(change: Any, level: Level, words: str) -> None:
    """Unit, frame of reference and marks, by the rule that the worker applies."""
    lines = Session.good().replace("frame", points(change)).play()
    assert words in said(lines, level)["points"]


def test_other_layouts_of_pictures_are_seen() -> None:
    """Channels first, or columns before rows, under a description that fits by its size."""

    def session(make: Callable[[Any], Any]) -> Session:
        def made(_: Message, number: int) -> Message:
            rgb = pictures(number)[0]
            return frame(number, rgb=np.ascontiguousarray(make(rgb)).reshape(rgb.shape))

        return Session.good().replace("frame", made)

    planes = session(lambda rgb: np.moveaxis(rgb, -1, 0))
    assert "channels first" in said(planes.play(), FAIL)["arrays"]
    columns = session(lambda rgb: np.swapaxes(rgb, 0, 1))
    assert "exchanged" in said(columns.play(), FAIL)["arrays"]


def test_frozen_camera_is_seen() -> None:
    """The same bytes under new numbers, buffers in turn, and one array of two; a simulator may play parts again."""
    same = Session.good().replace("frame", lambda _, n: frame(n, *pictures(0)))
    said_of_it = said(same.play(), FAIL)["repeated bytes"]
    assert (
        "the bytes of an earlier frame, under a new number (11 times, first frame 1 as frame 0)" in said_of_it
    )
    turns = Session.good().replace("frame", lambda _, n: frame(n, *pictures(n % 3)))
    assert "(9 times, first frame 3 as frame 0)" in said(turns.play(), FAIL)["repeated bytes"]
    half = Session.good().replace("frame", lambda _, n: frame(n, rgb=pictures(n % 4)[0]))
    assert "the rgb of an earlier frame" in said(half.play(), FAIL)["repeated bytes"]
    dark = Session.good().replace("frame", lambda _, n: frame(n, rgb=np.zeros_like(pictures(0)[0])))
    assert "repeated bytes" not in said(dark.play(), FAIL)
    played = Session.good().replace("frame", lambda _, n: frame(n, *pictures(n % 3), simulated=True))
    assert "repeated bytes" not in said(played.play(), FAIL)


def test_numbers_again() -> None:
    """A frame sent again is allowed, with other bytes it is not, and a late one is late."""
    again = Session.good()
    again.add(340, frame(3))
    assert "a frame sent again" in said(again.play(), REMARK)["seq"]
    other = Session.good()
    other.add(340, frame(3, rgb=pictures(9)[0]))
    assert "sent again with other bytes" in said(other.play(), FAIL)["seq"]
    for late_ms, level in ((560, REMARK), (900, FAIL)):
        late = Session.good().replace("frame", lambda message, n: None if n == 5 else message)
        late.add(late_ms + 60, frame(5))
        assert "seq" in said(late.play(), level)


def test_restart_with_a_new_stream_passes_and_with_the_old_one_fails() -> None:
    """The two boots of a camera that was stopped and started while conform listened."""
    second = Session.good(4)

    def again(data: dict[str, Any], number: int) -> None:
        trigger_ns = at(2000 + number * 100).realtime_ns
        data.update(stream_uuid="e" * 32, trigger_ns=trigger_ns, simulated=True)

    moved = [
        (2000 + ms, message)
        for ms, message in Session.good(4)
        .change("frame", again)
        .change("trigger", again)
        .change("state", lambda data, _: data.update(stream_uuid="e" * 32, sent_ns=at(2000).realtime_ns))
        .messages
    ]
    second.messages += moved
    lines = second.play()
    assert said(lines, FAIL) == {}
    assert "2 streams, one after the other" in said(lines, PASS)["stream_uuid"]
    same = Session.good(4)
    same.messages += [
        (2000 + n * 100, frame(n, trigger_ns=at(2000 + n * 100).realtime_ns, part_id=f"b{n}"))
        for n in range(4)
    ]
    failed = said(same.play(), FAIL)["stream_uuid"]
    assert "frames of a stream that has said closing" in failed
    assert "counts anew" in failed


def beats(period_ms: float, number: Callable[[float], int], end_ms: float = 1200) -> Session:
    """A session with other heartbeats."""
    session = Session.good().without("state")
    ms = 50.0
    while ms <= end_ms:
        session.add(ms, state(number(ms), ms))
        ms += period_ms
    return session


def test_heartbeats_are_compared_with_the_frames() -> None:
    """next_seq rises after the send: not before it, not much later, and never down."""
    right = beats(100, lambda ms: int((ms - 15) // 100) + 1)
    assert "next_seq" not in said(right.play(), FAIL)
    early = beats(100, lambda ms: int(ms // 100) + 2)
    assert "counts a frame before it is sent" in said(early.play(), FAIL)["next_seq"]
    never = beats(100, lambda _: 0)
    assert "does not count frames that were sent before" in said(never.play(), FAIL)["next_seq"]
    falling = beats(100, lambda ms: 12 if ms < 900 else 3)
    assert "next_seq falls" in said(falling.play(), FAIL)["next_seq"]


def test_pauses_between_heartbeats_fail() -> None:
    """Every second or faster, to the end of the listening."""
    slow = beats(2500, lambda ms: int(ms // 100) + 1, end_ms=6000)
    assert "pauses of up to 2.5 s" in said(slow.play(until_ms=6000), FAIL)["heartbeats"]
    silent = beats(200, lambda ms: int(ms // 100) + 1, end_ms=1000)
    assert "1 pauses of up to" in said(silent.play(until_ms=6000), FAIL)["heartbeats"]
    assert "heartbeats" not in said(Session.good().play(until_ms=6000), FAIL)  # it has said closing


def test_end_of_a_stream_that_was_not_heard_is_a_remark() -> None:
    """The integrator is told to stop the camera while conform listens."""
    lines = beats(200, lambda ms: int(ms // 100) + 1).play()
    assert "not heard" in said(lines, REMARK)["end of the stream"]


def test_trigger_messages_come_first_and_name_the_cameras_stream() -> None:
    """After the frame they may contradict a verdict; of another stream they make a second part."""
    late = Session.good()
    late.messages = [
        (ms + 20 if message[0] == TOPICS["trigger"] else ms, message) for ms, message in late.messages
    ]
    assert "a trigger message after its frame" in said(late.play(), FAIL)["trigger messages"]
    lost = Session.good().replace("frame", lambda message, n: None if n == 4 else message)
    lines = lost.play(until_ms=2000)
    assert "no frame by the deadline for 1 numbers: 4" in said(lines, FAIL)["trigger messages"]
    foreign = Session.good().replace("trigger", lambda _, n: trigger(n, stream_uuid="a" * 32))
    assert "of a stream that sends no frames" in said(foreign.play(), FAIL)["trigger messages"]
    other_time = Session.good().replace(
        "trigger", lambda _, n: trigger(n, trigger_ns=at(n * 100 + 1).realtime_ns)
    )
    assert "differ in trigger_ns" in said(other_time.play(), REMARK)["trigger messages"]


def test_part_ids_calibrations_and_unknown_keys_are_remarks() -> None:
    """Allowed, and worth knowing."""
    empty = Session.good().change("frame", put("part_id", "")).play()
    assert "12 of 12 parts have no part_id" in said(empty, REMARK)["part_id"]
    same = Session.good().change("frame", put("part_id", "p")).change("trigger", put("part_id", "p")).play()
    assert "part_id of several triggers: p" in said(same, REMARK)["part_id"]
    calibrations = (
        Session.good().change("frame", put("calib_id", lambda n: f"c{n}")).without("trigger").play()
    )
    assert "calib_id changes" in said(calibrations, REMARK)["calib_id"]
    keys = Session.good().change("frame", lambda data, _: data.update(lens_mm=25)).play()
    assert said(keys, FAIL) == {}
    assert "keys that receivers ignore: lens_mm" in said(keys, REMARK)["frame fields"]
    near = Session.good().change("frame", rename("calib_id", "calibId")).play()
    assert "'calibId' is ignored" in said(near, REMARK)["frame fields"]


def test_what_this_host_could_not_read_is_said() -> None:
    """Numbers and times are checked all the same."""
    checker = Conformance(at(0))
    for n in range(3):
        checker.message(frame(n), at(n * 100 + 15), thorough=False)
    lines = checker.lines(at(400))
    assert "the content of 3 frames was not read" in said(lines, REMARK)["content"]
    assert "0 to 2" in said(lines, PASS)["seq"]


def test_lost_connection_is_no_gap_of_the_camera() -> None:
    """Numbers that passed meanwhile, and the pause of the heartbeats, are not its fault."""
    checker = Conformance(at(0))
    for n in (0, 1, 2, 9, 10):
        if n == 9:
            checker.reconnected(at(900))
        checker.message(frame(n), at(n * 100 + 15))
    lines = checker.lines(at(1100))
    assert said(lines, FAIL) == {}
    assert "6 numbers passed while the connection was down" in said(lines, REMARK)["seq"]


def test_silence_gives_no_line() -> None:
    """Points of which nothing was heard are neither right nor wrong; the connection says that nothing came."""
    assert [asdict(line) for line in Session().play()] == []


def test_uuid_of_the_tests_is_one() -> None:
    """A short name as stream_uuid is a remark: it is the same after a reboot."""
    short = Session.good()
    for kind in ("frame", "trigger", "state"):
        short.change(kind, put("stream_uuid", "cam1"))
    assert "does not look random" in said(short.play(), REMARK)["stream_uuid"]
    assert len(UUID) == 32


@pytest.mark.parametrize("seed", range(40))
def test_no_message_ends_the_checker(seed: int) -> None:
    """Whatever a camera sends: other values in its maps, flipped bytes, message frames left out, added or exchanged."""
    rng = random.Random(seed)
    session = Session.good(4)
    session.messages = [(ms, roughened(message, rng)) for ms, message in session.messages]
    assert session.play()


VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    float("nan"),
    "",
    "x" * 300,
    "\n",
    b"a",
    [],
    {},
    [[1]],
    [{"name": "rgb"}],
    2**64 - 1,
)


def roughened(message: Message, rng: random.Random) -> Message:
    message = list(message)
    if rng.random() < 0.5:
        data = msgpack.unpackb(message[1])
        for key in rng.sample(list(data), k=2):
            data[key] = rng.choice(VALUES)
        message[1] = msgpack.packb(data)
        message[-1] = seal(message[1]) if rng.random() < 0.5 else message[-1]
    if rng.random() < 0.3:
        place = rng.randrange(len(message))
        flipped = bytearray(message[place])
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        message[place] = bytes(flipped)
    if rng.random() < 0.2:
        message.insert(rng.randrange(len(message)), rng.randbytes(9))
    if rng.random() < 0.1:
        rng.shuffle(message)
    return message[: rng.randrange(1, len(message) + 1)] if rng.random() < 0.2 else message

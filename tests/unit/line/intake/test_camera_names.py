"""Names of cameras: whatever becomes of a part, its result says which camera it came from."""

from dataclasses import replace

import structlog
from structlog.testing import capture_logs
from tests.unit.line.intake.test_admission import CAMERA, FRAME, HEADER, START_NS, Intake, message
from tests.unit.made.line_messages import result

from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_protocol.wire.topics import topic
from cmfm_protocol.wire.trigger import TriggerMessage, encode_trigger
from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.line.intake.camera_names import MAX_STREAMS, CameraNames
from cmfm_worker.line.messages import Arrived, Opened
from cmfm_worker.line.verdicts.result import log_verdict

LEFT, RIGHT = "tcp://left:1", "tcp://right:1"


def named(intake: Intake) -> dict[tuple[str, int], str]:
    """Stream and number of each trigger → its camera, as last posted."""
    events = [event for event in intake.events if isinstance(event, Opened | Arrived)]
    return {(event.trigger.key.stream_uuid, event.trigger.key.seq): event.trigger.camera for event in events}


def announced(seq: int, stream: str = "cam") -> list[memoryview]:
    trigger = TriggerMessage(stream, seq, f"part{seq}", START_NS, 500.0, "bagel")
    return [memoryview(frame) for frame in encode_trigger(topic("line1", "station1", "trigger"), trigger)]


def test_each_part_has_the_name_of_its_camera() -> None:
    """A frame, a number that is missing, and a damaged message without a stream."""
    intake = Intake()
    intake.send(message(replace(HEADER, stream_uuid="l")), LEFT)
    intake.send(message(replace(HEADER, stream_uuid="r")), RIGHT)
    intake.send(message(replace(HEADER, stream_uuid="l", seq=2, part_id="part2")), LEFT)
    intake.wait(250)
    for camera in (RIGHT, CAMERA):
        intake.send([FRAME, b"\xc1"], camera)
    intake.wait(600)
    assert named(intake) == {
        ("l", 0): "left",
        ("l", 1): "left",
        ("l", 2): "left",
        ("r", 0): "right",
        ("r", 1): "right",
        (UNATTRIBUTED_STREAM, 0): "camera1",
    }


def test_part_announced_by_a_gateway_belongs_to_the_camera_of_its_frames() -> None:
    """The socket that a trigger came from is not its camera, once frames of the stream have been heard."""
    intake = Intake()
    intake.send(message(), LEFT)
    intake.admission.trigger_message(RIGHT, announced(1))
    assert named(intake)["cam", 1] == "left"
    assert intake.admission.announce(TriggerMessage("cam", 2, "", START_NS, 500.0, "")) is None
    assert named(intake)["cam", 2] == "left"


def test_gateway_with_another_stream_announces_parts_of_its_own() -> None:
    """Its trigger never meets the camera's frame: each part is two, the second under the gateway's name."""
    intake = Intake()
    intake.send(message(), LEFT)
    intake.admission.trigger_message(RIGHT, announced(0, stream="before-the-restart"))
    assert named(intake) == {("cam", 0): "left", ("before-the-restart", 0): "right"}


def test_heartbeat_from_elsewhere_does_not_name_the_camera() -> None:
    """A gateway may send a stream's heartbeats; its frames settle whose it is."""
    intake = Intake()
    intake.beat(0)
    intake.send(message(), LEFT)
    assert named(intake) == {("cam", 0): "left"}


def test_two_cameras_with_one_stream_keep_their_names() -> None:
    """Two cameras that send the same uuid by mistake are told apart in their results."""
    intake = Intake()
    for seq, camera in enumerate((LEFT, RIGHT, LEFT)):
        intake.send(message(replace(HEADER, seq=seq, part_id=f"part{seq}")), camera)
    assert list(named(intake).values()) == ["left", "right", "left"]


def test_line_may_count_triggers_by_camera() -> None:
    """A PLC that knows the camera's name and its own count need not know the stream."""
    intake = Intake()
    count = TriggerMessage("left", 3, "p3", START_NS, 500.0, "bagel")
    assert "camera1, left, right" in (intake.admission.announce(count, "lift") or "")
    assert "heard" in (intake.admission.announce(count, "left") or "")
    assert named(intake) == {}
    intake.send(message(replace(HEADER, stream_uuid="l")), LEFT)
    assert intake.admission.announce(count, "left") is None
    assert set(named(intake)) == {("l", seq) for seq in range(4)}
    intake.send(message(replace(HEADER, stream_uuid="rebooted")), LEFT)
    assert intake.admission.announce(replace(count, seq=1), "left") is None
    assert ("rebooted", 1) in named(intake)


def test_streams_of_a_camera_that_keeps_rebooting_are_forgotten() -> None:
    """Memory is bounded; the newest streams keep their camera."""
    names = CameraNames({LEFT: "left"}, lambda _: None)
    names.source = LEFT
    for boot in range(2 * MAX_STREAMS):
        names.heard(f"boot{boot}", frame=True)
    assert len(names._streams) == MAX_STREAMS
    assert names.stream_of("left") == f"boot{2 * MAX_STREAMS - 1}"


def test_log_line_of_a_verdict_identifies_it() -> None:
    """Stream, camera and result id lead from the log to result, ledger and camera."""
    with capture_logs() as logs:
        log_verdict(structlog.get_logger(), result(7, Verdict.FAULT, camera="left"))
    (line,) = logs
    assert {key: line[key] for key in ("camera", "stream_uuid", "seq", "result_id", "part_id")} == {
        "camera": "left",
        "stream_uuid": "stream",
        "seq": 7,
        "result_id": 8,
        "part_id": "part-7",
    }

"""A replay over real sockets: the messages sent, the triggers recorded, and their times."""

import threading
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import zmq
from tests.unit.made.line_messages import pictures
from tests.unit.made.line_sockets import Connect

from cmfm_client.camera import Camera
from cmfm_client.camera_socket import CameraOptions
from cmfm_protocol.clock import SystemClock
from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.frame import FrameHeader, decode_frame
from cmfm_protocol.wire.state import decode_camera_state
from cmfm_protocol.wire.topics import parse_topic
from cmfm_protocol.wire.trigger import TriggerMessage, decode_trigger
from cmfm_sim.conveyor import Conveyor, plan_triggers
from cmfm_sim.disturb import Disturber
from cmfm_sim.faults import FaultKind, FaultPlan
from cmfm_sim.feed import Feed
from cmfm_sim.replay import Replay, ReplayReport
from cmfm_sim.trigger_log import TriggerLog, read_triggers

from .made_values import lot

PERIOD_S = 0.01


class Receiver:
    """A worker that only receives, in its own thread."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.headers: list[FrameHeader] = []
        self.triggers: list[TriggerMessage] = []
        self.order: list[tuple[str, int]] = []
        self.damaged = 0
        self.next_seq = 0
        self._socket = socket
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def finish(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            message = self._socket.recv_multipart()
            if parse_topic(message[0]).kind == "state":
                state = decode_camera_state(message)
                self.next_seq = state.next_seq
                if state.closing:
                    return
                continue
            if parse_topic(message[0]).kind == "trigger":
                self.triggers.append(decode_trigger(message))
                self.order.append(("trigger", self.triggers[-1].seq))
                continue
            try:
                self.headers.append(decode_frame(message).header)
                self.order.append(("frame", self.headers[-1].seq))
            except RemoteProtocolError:
                self.damaged += 1


def run(
    endpoint: str,
    connect: Connect,
    log: Path,
    *,
    plan: str = "",
    parts: int = 20,
    stop_at: int | None = None,
    announce: bool = False,
) -> tuple[ReplayReport, Receiver]:
    clock, stop = SystemClock(), threading.Event()
    schedule = FaultPlan.parse(plan, 1).schedule(parts)
    with (
        Feed(plan_triggers([lot(parts)]), distinct=parts, read=lambda _: pictures()) as feed,
        TriggerLog(log) as written,
        Camera(CameraOptions(endpoint), clock) as camera,
    ):
        receiver = Receiver(connect(zmq.SUB, endpoint))
        camera.wait_for_subscriber(5)
        report = Replay(
            camera=camera,
            conveyor=Conveyor(1 / PERIOD_S, clock, camera.rest),
            feed=feed,
            disturber=Disturber(schedule, 1),
            log=written,
            deadline_ms=100,
            clock=clock,
            announce=announce,
            stopped=stop.is_set,
            on_trigger=lambda record, _: stop.set() if record.seq == stop_at else None,
        ).run()
    receiver.finish()
    return report, receiver


def test_every_part_is_sent_once_and_written_down(endpoint: str, connect: Connect, tmp_path: Path) -> None:
    """The record and the headers agree, and the frames are marked as simulated."""
    report, receiver = run(endpoint, connect, tmp_path / "t.jsonl")
    assert (report.triggers, report.sent, report.pub_drops, report.stopped) == (20, 20, 0, False)
    records = read_triggers(tmp_path / "t.jsonl")
    assert (
        [record.seq for record in records] == [header.seq for header in receiver.headers] == list(range(20))
    )
    for record, header in zip(records, receiver.headers, strict=True):
        assert (header.stream_uuid, header.part_id, header.trigger_ns, header.deadline_ms, header.recipe) == (
            record.stream_uuid,
            record.part_id,
            record.trigger_ns,
            record.deadline_ms,
            record.recipe,
        )
        assert header.simulated
    assert receiver.next_seq == 20


def test_triggers_are_stamped_as_scheduled(endpoint: str, connect: Connect, tmp_path: Path) -> None:
    """One period apart, independent of the time at which their frames left."""
    run(endpoint, connect, tmp_path / "t.jsonl", plan="stall=1:0.2s")
    stamps = [record.trigger_ns for record in read_triggers(tmp_path / "t.jsonl")]
    periods = [(b - a) / 1e9 for a, b in pairwise(stamps)]
    assert periods == pytest.approx([PERIOD_S] * 19, abs=2e-3)


def test_a_stall_shows_as_lateness(endpoint: str, connect: Connect, tmp_path: Path) -> None:
    """And the parts behind it are sent as fast as possible, not a period apart."""
    report, _ = run(endpoint, connect, tmp_path / "t.jsonl", plan="stall=1:0.3s")
    assert report.lateness_ms is not None
    assert report.lateness_ms.most >= 299
    assert report.seconds < 0.25 + 20 * PERIOD_S + 0.3 + 1


def test_faults_are_done_and_counted(endpoint: str, connect: Connect, tmp_path: Path) -> None:
    """The frames that arrive follow from the plan; every trigger is recorded with its fault."""
    plan = "drop=2,duplicate=2,reorder=2,corrupt=2,truncate=2,version=1,garbage=1,wrong=1,late=1:0.3s"
    report, receiver = run(endpoint, connect, tmp_path / "t.jsonl", plan=plan, parts=30)
    records = read_triggers(tmp_path / "t.jsonl")
    done = Counter(kind for record in records for kind in record.faults)
    assert done == report.faults
    assert done[FaultKind.DROP] == 2
    assert report.triggers == len(records) == 30
    seqs = [header.seq for header in receiver.headers]
    assert len(seqs) == 30 - 2 + 2 - 7
    assert receiver.damaged == 7
    assert sorted(set(seqs)) == [r.seq for r in records if not r.must_fault or FaultKind.LATE in r.faults]
    assert receiver.next_seq == 30


def test_announced_parts_are_told_before_their_frames(
    endpoint: str, connect: Connect, tmp_path: Path
) -> None:
    """With the fields of its frame, also if the frame is dropped or comes after the next one's."""
    report, receiver = run(
        endpoint, connect, tmp_path / "t.jsonl", plan="drop=2,reorder=2,stall=1:0.2s", announce=True
    )
    records = read_triggers(tmp_path / "t.jsonl")
    told = {(t.seq, t.part_id, t.trigger_ns, t.deadline_ms, t.recipe) for t in receiver.triggers}
    assert (
        report.announced == len(receiver.triggers) == len(told) >= 15
    )  # some may find the socket's queue full
    assert told <= {(r.seq, r.part_id, r.trigger_ns, r.deadline_ms, r.recipe) for r in records}
    assert all(t.sealed and t.simulated for t in receiver.triggers)
    for kind, seq in receiver.order:
        if kind == "frame" and ("trigger", seq) in receiver.order:
            assert receiver.order.index(("trigger", seq)) < receiver.order.index(("frame", seq))


def test_a_late_frame_comes_past_its_deadline(endpoint: str, connect: Connect, tmp_path: Path) -> None:
    """After everything that was due in the meantime, and even when it is the last."""
    report, receiver = run(endpoint, connect, tmp_path / "t.jsonl", plan="late=1:0.4s", parts=5)
    (late,) = [record.seq for record in read_triggers(tmp_path / "t.jsonl") if record.faults]
    assert receiver.headers[-1].seq == late
    assert report.seconds >= 0.4


def test_a_stop_ends_in_order(endpoint: str, connect: Connect, tmp_path: Path) -> None:
    """Only triggers that fired are recorded, and the last heartbeat has their number."""
    report, receiver = run(endpoint, connect, tmp_path / "t.jsonl", stop_at=6)
    assert report.stopped
    assert report.triggers == len(read_triggers(tmp_path / "t.jsonl")) == receiver.next_seq == 7
    assert len(receiver.headers) == 7


def test_frames_that_nobody_takes_are_written_down_as_not_sent(endpoint: str, tmp_path: Path) -> None:
    """Without a subscriber every trigger counts, and every frame is a drop."""
    clock = SystemClock()
    with (
        Feed(plan_triggers([lot(3)]), distinct=3, read=lambda _: pictures()) as feed,
        TriggerLog(tmp_path / "t.jsonl") as log,
        Camera(CameraOptions(endpoint), clock) as camera,
    ):
        report = Replay(
            camera=camera,
            conveyor=Conveyor(100, clock, camera.rest),
            feed=feed,
            disturber=Disturber({}, 0),
            log=log,
            deadline_ms=100,
            clock=clock,
        ).run()
    assert (report.triggers, report.sent, report.pub_drops) == (3, 0, 3)
    assert all(record.must_fault for record in read_triggers(tmp_path / "t.jsonl"))

"""The deadline contract over real sockets: every announced part has its verdict by its deadline, frame or no frame."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq

from cmfm_protocol.wire.control import AnnounceRequest, Reply, decode_reply, encode_request
from cmfm_protocol.wire.trigger import TriggerMessage
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_sim.accounting import account, compare_with_worker

from .conftest import Line
from .test_line import EVERY_FAULT, assert_accounted_for, settle

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

MakeLine = Callable[[str], Line]

NOISE_MS = 2000.0
"""Time that a busy machine may add to a reaction; `cmfm-sim replay --results` measures the 5 ms of the contract."""


def test_announced_parts_are_accounted_for_under_every_fault(
    make_line: MakeLine, synthetic_root: Path
) -> None:
    """With trigger messages too, each part has one verdict, whatever became of its frame, and no part is late."""
    line = make_line("ipc")
    worker = line.start()
    options = ["--rate", "10", "--loop", "9", "--deadline-ms", "1200", "--faults", EVERY_FAULT, "--seed", "5"]
    camera = line.replay(synthetic_root, *options, "--triggers")
    settle(line, camera, worker)
    line.finish(worker)
    assert_accounted_for(line)
    counted = account(line.triggers(), line.received)
    late_ms = counted.punctuality.given_late_ms
    assert late_ms is not None
    assert late_ms.most <= NOISE_MS
    verdicts = {item.key: item.result.verdict for item in line.received}
    untouched = [trigger for trigger in line.triggers() if not trigger.faults]
    assert any(verdicts[t.key] is not Verdict.FAULT for t in untouched)


def test_part_whose_frame_never_comes_is_lost_at_its_deadline(
    make_line: MakeLine, synthetic_root: Path
) -> None:
    """Not at the next frame: the last part of the stream is answered as well, and the part keeps its name."""
    line = make_line("tcp")
    worker = line.start(intake={"reorder_window_ms": 30_000.0})
    options = ["--rate", "4", "--limit", "6", "--deadline-ms", "900", "--faults", "drop=1.0", "--triggers"]
    camera = line.replay(synthetic_root, *options)
    settle(line, camera, worker)
    line.finish(worker)
    assert_accounted_for(line)
    for trigger, item in zip(line.triggers(), sorted(line.received, key=lambda r: r.result.seq), strict=True):
        assert (item.result.reason, item.result.part_id) == (Reason.LOST, trigger.part_id)
        late_ms = (item.result.done_ns - trigger.trigger_ns) / 1e6 - trigger.deadline_ms
        assert 0 <= late_ms <= NOISE_MS


def ask(line: Line, message: TriggerMessage) -> Reply:
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.RCVTIMEO, 10_000)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(line.endpoints.control)
        socket.send(encode_request(AnnounceRequest("1", message)))
        return decode_reply(socket.recv())


def test_line_that_counts_its_own_triggers_hears_of_every_part(make_line: MakeLine) -> None:
    """A camera that never spoke costs no part its verdict."""
    line = make_line("tcp")
    worker = line.start()
    fired_ns = time.time_ns()
    told = TriggerMessage("plc-1", 4, "p4", fired_ns, 400.0, "praline")
    assert ask(line, told).ok
    assert ask(line, told).ok
    assert not ask(line, TriggerMessage("plc-1", 90_000, "", fired_ns, 400.0, "")).ok
    line.wait_for(lambda: len(line.received) >= 5, worker, 30)
    line.finish(worker)
    assert sorted(item.key for item in line.received) == [("plc-1", seq) for seq in range(5)]
    for item in line.received:
        assert item.result.reason is Reason.LOST
        assert 0 <= (item.result.done_ns - fired_ns) / 1e6 - 400 <= NOISE_MS
    assert line.states[-1].counts["triggers"] == 5


def test_overload_is_answered_in_time(make_line: MakeLine, synthetic_root: Path) -> None:
    """Twice and more of what can be computed: every part has its verdict by its deadline, and parts go on passing."""
    line = make_line("tcp")
    worker = line.start(ring={"slots": 8})
    options = ["--rate", "100", "--loop", "25", "--deadline-ms", "1500", "--triggers"]
    camera = line.replay(synthetic_root, *options)
    settle(line, camera, worker)
    line.finish(worker)
    assert_accounted_for(line)
    counted = account(line.triggers(), line.received)
    assert counted.reasons[Reason.DEADLINE] + counted.reasons[Reason.RING_FULL] > 0
    late_ms = counted.punctuality.given_late_ms
    assert late_ms is not None
    assert late_ms.most <= NOISE_MS
    fired = sorted(trigger.seq for trigger in line.triggers())
    inspected = [r.result.seq for r in line.received if r.result.verdict is not Verdict.FAULT]
    assert inspected
    assert max(inspected) > fired[len(fired) // 2]  # the line never gave up inspecting
    assert compare_with_worker(counted, line.states[-1]) == []

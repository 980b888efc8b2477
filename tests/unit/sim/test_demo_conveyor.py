"""The conveyor of a demo with the page: the parts go round until it is ended, and every trigger is on record."""

from pathlib import Path

import pytest
import zmq

from cmfm_protocol.files.dataset import list_parts
from cmfm_protocol.wire.frame import decode_frame
from cmfm_protocol.wire.topics import parse_topic
from cmfm_sim import demo_conveyor
from cmfm_sim.demo_conveyor import DemoConveyor
from cmfm_sim.demo_line import DemoFolder, Endpoints
from cmfm_sim.demo_options import DemoOptions
from cmfm_sim.processes import Children


def test_the_parts_go_round_until_the_demo_ends(
    tmp_path: Path, synthetic_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More frames come than there are parts; ended in order, each frame's trigger is among those of the account."""
    monkeypatch.setattr(demo_conveyor, "ROUND_RATE_HZ", 100.0)
    folder = DemoFolder(tmp_path)
    folder.dataset.symlink_to(synthetic_root)
    folder.triggers.touch()
    options = DemoOptions(("praline",), train=6, validation=3, good=2, per_defect=1)
    endpoints = Endpoints.free()
    seen: list[tuple[str, int]] = []
    parts = len(list_parts(synthetic_root, "praline", "test"))
    with zmq.Context() as context, context.socket(zmq.SUB) as socket, Children(folder.logs) as children:
        socket.subscribe(b"")
        socket.connect(endpoints.frames)
        rounds = DemoConveyor(children, folder, endpoints, options, rate_hz=100.0).round_after_round()
        while len(seen) <= 2 * parts:
            assert socket.poll(60_000)
            message = socket.recv_multipart()
            if parse_topic(message[0]).kind == "frame":
                header = decode_frame(message).header
                seen.append((header.stream_uuid, header.seq))
        rounds.terminate()
        rounds.wait(lambda: False, 60)
        rounds.require_success()
    fired = [trigger.key for trigger in folder.fired()]
    assert set(seen) <= set(fired)
    assert len(fired) == len(set(fired))

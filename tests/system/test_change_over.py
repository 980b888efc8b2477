"""Recipes reloaded and switched while frames flow: nothing is lost, and each verdict has the model of its time."""

import random
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
import zmq

from cmfm_client.events import Received
from cmfm_protocol.wire.control import LoadRecipeRequest, decode_reply, encode_request
from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.recipes.folder import save_recipe
from cmfm_worker.recipes.recipe import RecipeDraft, load_recipe

from .conftest import Line
from .hand_camera import HandCamera

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

NAMES = ("left", "right")
LATE_NS = 2_000_000_000
"""How long a received frame may take to be given its model on a crowded machine."""


def write_version(source: Path, folder: Path, version: int) -> str:
    """The taught recipe with weights of its own under another name; its model id."""
    loaded = load_recipe(source)
    with torch.no_grad():
        for weight in loaded.mapping.to_3d.parameters():
            weight.mul_(1 + 1e-4 * (version + 1))
    sections = {name: getattr(loaded.recipe, name) for name in RecipeDraft.model_fields}
    draft = RecipeDraft(**(sections | {"name": folder.name}))
    return save_recipe(folder, draft, loaded.mapping, replace=True).model_sha


@dataclass(slots=True)
class Versions:
    """Of one recipe: model ids in the order in which they were asked for, and when (CLOCK_REALTIME)."""

    shas: list[str] = field(default_factory=list)
    asked_ns: list[int] = field(default_factory=list)
    in_use_ns: list[int] = field(default_factory=list)

    def allowed(self, received_ns: int) -> set[str]:
        """Models that a frame received then may have met: the last in use, and any asked for by then."""
        newest_in_use = bisect_left(self.in_use_ns, received_ns) - 1
        newest_asked = bisect_left(self.asked_ns, received_ns + LATE_NS)
        return set(self.shas[max(newest_in_use, 0) : newest_asked])


class Changer(threading.Thread):
    """Rewrites a recipe and has it loaded over the control socket, again and again."""

    def __init__(self, endpoint: str, taught: Path, folder: Path, changes: int) -> None:
        super().__init__(name="changer")
        self.versions = {name: Versions() for name in NAMES}
        self.error: BaseException | None = None
        self._endpoint, self._taught, self._folder, self._changes = endpoint, taught, folder, changes
        for name in NAMES:
            self._write(name, 0)
            self.versions[name].in_use_ns.append(0)

    def run(self) -> None:
        try:
            with zmq.Context() as context, context.socket(zmq.REQ) as control:
                control.connect(self._endpoint)
                for change in range(self._changes):
                    self._change(control, NAMES[change % len(NAMES)], change + 1)
        except BaseException as error:  # noqa: BLE001 (the test fails with it)
            self.error = error

    def _change(self, control: "zmq.Socket[bytes]", name: str, version: int) -> None:
        self._write(name, version)
        control.send(encode_request(LoadRecipeRequest(str(version), name)))
        assert control.poll(60_000)
        reply = decode_reply(control.recv())
        assert reply.ok, reply.error
        self.versions[name].in_use_ns.append(time.time_ns())

    def _write(self, name: str, version: int) -> None:
        sha = write_version(self._taught, self._folder / name, version)
        self.versions[name].shas.append(sha)
        self.versions[name].asked_ns.append(0 if version == 0 else time.time_ns())


def run_line(line: Line, taught: Path, root: Path, *, changes: int, rate: float) -> tuple[Changer, int]:
    """A line under load through `changes` changes of recipe; returns who made them, and how many parts were sent."""
    folder = line.folder / "changing"
    changer = Changer(line.endpoints.control, taught, folder, changes)
    worker = line.start(recipes={"folder": str(folder)}, ring={"slots": 256})
    choose = random.Random(5)
    with HandCamera(line.endpoints.frames, root) as camera:
        camera.wait_for_worker()
        changer.start()
        next_s = time.monotonic()
        while changer.is_alive() or len(camera.sent) < 20:
            camera.send(f"p{len(camera.sent)}", choose.choice(NAMES))
            next_s += 1 / rate
            camera.rest(max(next_s - time.monotonic(), 0))
            line.listen(0)
        changer.join()
        assert changer.error is None, changer.error
        sent = set(camera.sent)
        line.wait_for(lambda: {item.key for item in line.received} >= sent, worker, 120)
    line.finish(worker)
    return changer, len(sent)


def assert_models_of_their_time(received: list[Received], versions: dict[str, Versions]) -> None:
    for item in received:
        result = item.result
        assert result.received_ns is not None
        assert result.model_sha in versions[result.recipe].allowed(result.received_ns), (result, versions)


MakeLine = Callable[[str], Line]


def test_change_over_under_load_loses_nothing(
    make_line: MakeLine, recipes: Path, synthetic_root: Path
) -> None:
    """Two recipes are rewritten and reloaded in turn while their parts alternate at random: each part has one verdict,
    computed, with a model of its own recipe that was in use when it came."""
    line = make_line("ipc")
    changer, sent = run_line(line, recipes / "praline", synthetic_root, changes=6, rate=5)
    keys = [item.key for item in line.received]
    assert len(keys) == len(set(keys)) == sent
    assert all(item.result.verdict is not Verdict.FAULT for item in line.received)
    assert_models_of_their_time(line.received, changer.versions)
    used = {item.result.model_sha for item in line.received}
    assert len(used) > len(NAMES)  # changes did take effect in mid-stream
    rows = {(stream, seq): verdict for stream, seq, verdict, _ in line.ledger()}
    assert rows == {item.key: str(item.result.verdict) for item in line.received}

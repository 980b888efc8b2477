"""A threshold is changed and undone while the line runs: no part is lost, and each verdict names what judged it."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import zmq

from cmfm_protocol.wire.control import LoadRecipeRequest, decode_reply, encode_request
from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.ledger import Question, open_ledger
from cmfm_records.recipe_versions import read_versions
from cmfm_sim.processes import program

from .conftest import Line
from .hand_camera import HandCamera

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


class Change(NamedTuple):
    """A change of the recipe: begun, in use since (both CLOCK_REALTIME), and the recipe_sha that it led to."""

    began_ns: int
    in_use_ns: int
    recipe_sha: str


class Operator(threading.Thread):
    """Sets thresholds by the command, has each loaded, and undoes all of it: as the page does.

    After each change it waits until two more parts were `sent`.
    """

    def __init__(self, control: str, recipes: Path, thresholds: list[float], sent: Callable[[], int]) -> None:
        super().__init__(name="operator")
        self.error: BaseException | None = None
        self.changes: list[Change] = []
        self._control, self._recipes, self._thresholds, self._sent = control, recipes, thresholds, sent

    def run(self) -> None:
        try:
            with zmq.Context() as context, context.socket(zmq.REQ) as control:
                control.connect(self._control)
                for fail_at in self._thresholds:
                    command = ["threshold", "praline", "--fail-at", str(fail_at), "--by", "Ann"]
                    self._change(control, command, "after")
                self._change(control, ["restore", "praline", "1", "--by", "Bob"])
        except BaseException as error:  # noqa: BLE001 (the test fails with it)
            self.error = error

    def _change(self, control: "zmq.Socket[bytes]", command: list[str], *inside: str) -> None:
        began_ns = time.time_ns()
        ran = subprocess.run(
            [*program("cmfm-worker"), "recipe", *command, "--recipes", str(self._recipes), "--json"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        found = json.loads(ran.stdout)
        for key in inside:
            found = found[key]
        control.send(encode_request(LoadRecipeRequest(str(began_ns), "praline")))
        assert control.poll(60_000)
        reply = decode_reply(control.recv())
        assert reply.ok, reply.error
        self.changes.append(Change(began_ns, time.time_ns(), found["recipe_sha"]))
        enough, until_s = self._sent() + 2, time.monotonic() + 60
        while self._sent() < enough:
            assert time.monotonic() < until_s, "no part was sent"
            time.sleep(0.02)


def test_thresholds_change_under_load_and_each_verdict_names_its_own(
    make_line: Callable[[str], Line], recipes: Path, synthetic_root: Path
) -> None:
    """Every part that was sent has one verdict, by a version that is kept, with that version's threshold; a part that
    came after a change was loaded has the changed one."""
    line = make_line("ipc")
    folder = line.folder / "changing"
    shutil.copytree(recipes / "praline", folder / "praline")
    ledger = line.folder / "ledger.sqlite"
    worker = line.start(recipes={"folder": str(folder)}, ring={"slots": 256}, ledger={"path": str(ledger)})
    with HandCamera(line.endpoints.frames, synthetic_root) as camera:
        operator = Operator(line.endpoints.control, folder, [1e-9, 1e9, 0.5], lambda: len(camera.sent))
        camera.wait_for_worker()
        operator.start()
        while operator.is_alive():
            camera.send(f"p{len(camera.sent)}", "praline")
            camera.rest(1 / line.rate_hz(5))
            line.listen(0)
        operator.join()
        assert operator.error is None, operator.error
        sent = set(camera.sent)
        line.wait_for(lambda: {item.key for item in line.received} >= sent, worker, 120)
    line.finish(worker)

    with open_ledger(ledger) as reader:
        rows = list(reader.rows(Question()))
    assert {(row["stream_uuid"], row["seq"]) for row in rows} == sent
    assert len(rows) == len(line.received) == len(sent)
    assert all(row["verdict"] != Verdict.FAULT for row in rows)
    kept = {version.recipe_sha: version for version in read_versions(folder / "praline")}
    for row in rows:
        assert row["threshold"] == kept[str(row["recipe_sha"])].fail_at
    assert {row["model_sha"] for row in rows} == {version.model_sha for version in kept.values()}
    begins = [change.began_ns for change in operator.changes[1:]] + [2**63]
    for change, next_ns in zip(operator.changes, begins, strict=True):
        between = [row for row in rows if change.in_use_ns < int(str(row["received_ns"])) < next_ns]
        assert {row["recipe_sha"] for row in between} <= {change.recipe_sha}
    first = read_versions(folder / "praline")[0].recipe_sha
    assert operator.changes[-1].recipe_sha == rows[-1]["recipe_sha"] == first  # undone
    assert len({row["recipe_sha"] for row in rows}) >= 2

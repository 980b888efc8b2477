"""`cmfm-worker collect` against a line that answers as it is told to; `teach --use` when the line refuses."""

from __future__ import annotations

import json
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w
import zmq
from tests.unit.made.dataset import run
from tests.unit.made.line_messages import worker_state
from tests.unit.made.recipes import saved

from cmfm_protocol.wire.control import LoadRecipeRequest, Reply, Request, decode_request, encode_reply
from cmfm_protocol.wire.record_requests import CollectRequest
from cmfm_protocol.wire.state import CollectState
from cmfm_records.recipe_versions import read_versions
from cmfm_worker.cli.control_client import reachable
from cmfm_worker.recipes.taught import teaching

Answer = Callable[[Request], Reply]


class ToldLine:
    """A control socket with one answer for each request."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[Request] = []
        self.collecting: list[CollectState | None] = []
        self.refusal = ""
        endpoint = f"ipc://{folder}/control"
        self.config = folder / "line.toml"
        self.config.write_text(tomli_w.dumps({"sockets": {"control": endpoint}}))
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(endpoint)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()
        self._context.term()

    def asked(self) -> list[tuple[str, int, int, str]]:
        """The requests to collect."""
        requests = [request for request in self.heard if isinstance(request, CollectRequest)]
        return [(each.product, each.wanted, each.every, each.frames_of) for each in requests]

    def _serve(self) -> None:
        while not self._stop.is_set():
            if self._socket.poll(10):
                *envelope, body = self._socket.recv_multipart()
                request = decode_request(body)
                self.heard.append(request)
                self._socket.send_multipart([*envelope, encode_reply(self._answer(request))])

    def _answer(self, request: Request) -> Reply:
        if request.op == "status":
            newest = self.collecting.pop(0) if len(self.collecting) > 1 else self.collecting[0]
            return Reply(request.id, ok=True, state=replace(worker_state({}), collecting=newest))
        return Reply(request.id, ok=not self.refusal, error=self.refusal)


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToldLine]:
    monkeypatch.setattr("cmfm_worker.cli.collect.POLL_S", 0.01)
    made = ToldLine(tmp_path)
    yield made
    made.close()


def of(collected: int, wanted: int = 5, **others: object) -> CollectState:
    return replace(CollectState("cap", wanted, collected, 0), **others)  # type: ignore[arg-type]


def collect(line: ToldLine, *options: str) -> int:
    return run("collect", "--config", line.config, "--product", "cap", "--count", "5", *options)


def test_progress_and_result_are_told(line: ToldLine, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON one object a line; why a part was not kept is said once."""
    after = [of(collected, dropped=2, detail="the disk is full") for collected in (2, 2, 5)]
    line.collecting = [of(0), *after]
    assert collect(line, "--every", "3", "--frames-of", "lid", "--json") == 0
    assert line.asked() == [("cap", 5, 3, "lid")]
    told = capsys.readouterr()
    events = [json.loads(event) for event in told.out.splitlines()]
    done = [event["done"] for event in events if event["event"] == "progress"]
    assert (done[0], done[-1]) == (0, 5)
    assert events[-1]["collected"] == 5
    assert told.err.count("a part was not kept: the disk is full") == 1


def test_ctrl_c_stops_collecting(
    line: ToldLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line is told to stop, what was kept stays, and the command ends well."""

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cmfm_worker.cli.collect.time.sleep", interrupted)
    line.collecting = [of(2)]
    assert collect(line) == 0
    assert [wanted for _, wanted, _, _ in line.asked()] == [5, 0]
    told = capsys.readouterr().out
    assert "2 parts of cap were kept" in told
    assert "docs/accuracy.md" in told


@pytest.mark.parametrize(
    ("after", "said"),
    [(None, "it was started again"), (CollectState("lid", 9, 1, 0), "it now keeps parts of lid")],
)
def test_line_that_no_longer_collects_ends_the_command(
    line: ToldLine, capsys: pytest.CaptureFixture[str], after: CollectState | None, said: str
) -> None:
    """A restarted worker has forgotten the request, and another request replaces it: it must be asked again."""
    line.collecting = [of(1), after]
    assert collect(line) == 2
    assert said in capsys.readouterr().err


def test_refusal_is_said(line: ToldLine, capsys: pytest.CaptureFixture[str]) -> None:
    """In the line's words, with exit code 2."""
    line.refusal = "collected/cap: cannot be written (Permission denied)"
    assert collect(line) == 2
    assert line.refusal in capsys.readouterr().err


def test_keys_are_needed_for_a_line_that_encrypts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Instead of waiting for a reply that cannot come."""
    config = tmp_path / "line.toml"
    config.write_text(tomli_w.dumps({"curve": {"secret_key": "worker.key_secret"}}))
    assert run("collect", "--config", config, "--product", "cap", "--count", "5") == 2
    assert "give --key and --server-key" in capsys.readouterr().err


def test_recipe_that_the_line_refuses_is_taken_back(
    line: ToldLine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one before is in place again, byte for byte; a product's first recipe is removed."""
    recipes = tmp_path / "recipes"
    saved(recipes / "cap")
    before = (recipes / "cap" / "recipe.toml").read_bytes()
    for name in ("cap", "lid"):
        with teaching(recipes, name) as target:
            saved(target, name=name, threshold=None)
    line.collecting, line.refusal = [None], "no threshold"
    for name in ("cap", "lid"):
        assert run("teach", "--config", line.config, "--product", name, "--use", "--by", "ann") == 2
        assert (
            "the line refuses the recipe, and the one before is back: no threshold" in capsys.readouterr().err
        )
    assert (recipes / "cap" / "recipe.toml").read_bytes() == before
    assert [version.by for version in read_versions(recipes / "cap")] == ["", "ann", "ann"]
    assert not (recipes / "lid").exists()
    assert [request.recipe for request in line.heard if isinstance(request, LoadRecipeRequest)] == [
        "cap",
        "lid",
    ]


def test_recipe_that_the_next_start_would_not_load_is_told(
    line: ToldLine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`[recipes] names` lists what a start loads: a new product must be added there."""
    settings = tomllib.loads(line.config.read_text())
    line.config.write_text(tomli_w.dumps({**settings, "recipes": {"names": ["lid"]}}))
    with teaching(tmp_path / "recipes", "cap") as target:
        saved(target, name="cap")
    line.collecting = [None]
    assert run("teach", "--config", line.config, "--product", "cap", "--use") == 0
    told = capsys.readouterr()
    assert "recipe cap is in use, as version 1" in told.out
    assert "does not list cap" in told.err


def test_nothing_changes_when_nobody_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that does not run is asked before the recipe is put in place."""
    monkeypatch.setattr("cmfm_worker.cli.control_client.TIMEOUT_S", 0.2)
    config = tmp_path / "line.toml"
    config.write_text(tomli_w.dumps({"sockets": {"control": f"ipc://{tmp_path}/nobody"}}))
    with teaching(tmp_path / "recipes", "cap") as target:
        saved(target, name="cap")
    began_s = time.monotonic()
    assert run("teach", "--config", config, "--product", "cap", "--use") == 2
    assert time.monotonic() - began_s < 30
    assert "did not reply" in capsys.readouterr().err
    assert not (tmp_path / "recipes" / "cap").exists()


@pytest.mark.parametrize(
    ("bound", "reached"),
    [
        ("tcp://*:5559", "tcp://127.0.0.1:5559"),
        ("tcp://0.0.0.0:5559", "tcp://127.0.0.1:5559"),
        ("tcp://[::]:5559", "tcp://127.0.0.1:5559"),
        ("tcp://10.0.0.7:5559", "tcp://10.0.0.7:5559"),
        ("ipc:///run/x", "ipc:///run/x"),
    ],
)
def test_endpoint_that_is_bound_is_reached(bound: str, reached: str) -> None:
    """A line that listens everywhere is reached over loopback."""
    assert reachable(bound) == reached

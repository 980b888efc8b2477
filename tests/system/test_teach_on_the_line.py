"""A product is collected from a running line, taught beside it and used, with the commands alone."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cmfm_client.camera import Camera
from cmfm_client.camera_socket import CameraOptions
from cmfm_protocol.files.dataset import list_parts, read_part
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_records.collected import read_product
from cmfm_records.enough_parts import LEAST_PARTS
from cmfm_sim.processes import Child, program

from .conftest import Line

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

MakeLine = Callable[[str], Line]
Images = tuple[NDArray[np.uint8], NDArray[np.float32]]

PARTS = LEAST_PARTS
LIMIT_S = 240.0
PERIOD_S = 0.1
UNDER_WAY = 2
"""Parts without a verdict at which the belt waits: a crowded machine must not overload this line."""


def distinct_parts(root: Path, count: int) -> list[Images]:
    """Good parts of the synthetic data set, with noise of its own on each, so that no frame is another's."""
    files = [
        part
        for split in ("train", "validation", "test")
        for part in list_parts(root, "praline", split)
        if not part.label
    ]
    noise = np.random.default_rng(3)
    made = []
    for number in range(count):
        rgb, xyz = read_part(files[number % len(files)])
        jitter = noise.integers(-2, 3, rgb.shape)
        made.append((np.clip(rgb + jitter, 0, 255).astype(np.uint8), xyz))
    return made


class Belt:
    """Sends parts one by one, as fast as they are inspected, and takes the results meanwhile."""

    def __init__(self, line: Line, parts: list[Images]) -> None:
        self._line, self._parts = line, parts
        self._camera = Camera(CameraOptions(line.endpoints.frames))
        self.sent = 0

    def __enter__(self) -> "Belt":
        self._camera.wait_for_subscriber(60)
        return self

    def __exit__(self, *error: Any) -> None:
        self._camera.__exit__(*error)

    def send(self, recipe: str) -> None:
        """Send one part and rest until few are under way."""
        trigger = self._camera.trigger(f"p{self.sent}", recipe=recipe, deadline_ms=60_000.0, simulated=True)
        assert self._camera.publish(trigger, *self._parts[self.sent % len(self._parts)])
        self.sent += 1
        give_up_s = time.monotonic() + LIMIT_S
        while True:
            self._camera.rest(PERIOD_S)
            self._line.listen(0)
            if self.sent - len(self._line.received) <= UNDER_WAY:
                return
            assert time.monotonic() < give_up_s

    def run_until(self, condition: Callable[[], bool], recipe: str, worker: Child) -> None:
        """Send parts until something is true."""
        give_up_s = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < give_up_s
            worker.require_success()
            self.send(recipe)

    def run_until_end(self, child: Child, recipe: str, worker: Child) -> None:
        """Send parts until a command has ended, which it must with 0."""
        self.run_until(lambda: child.returncode is not None, recipe, worker)
        assert child.returncode == 0, child.output()


def events(child: Child) -> Iterator[dict[str, Any]]:
    """The JSON lines of a command that may still run."""
    for line in child.output().splitlines():
        if line.startswith("{") and line.endswith("}"):
            yield json.loads(line)


def command(line: Line, *arguments: str) -> list[str]:
    name, *rest = arguments
    return [
        *program("cmfm-worker"),
        name,
        "--config",
        str(line.folder / "line.toml"),
        "--product",
        "cap",
        "--json",
        *rest,
    ]


TEACH = ("teach", "--from-collected", "--extractors", "classic", "--epochs", "3", "--simulated-defects", "0")


def test_product_is_collected_taught_and_used(
    make_line: MakeLine, recipes: Path, synthetic_root: Path
) -> None:
    """Frames of an unknown recipe are kept; a killed teaching leaves nothing; the line inspects on, then uses it."""
    line = make_line("tcp")
    folder = line.folder / "recipes"
    shutil.copytree(recipes / "praline", folder / "praline")
    worker = line.start(
        recipes={"folder": str(folder), "default": "praline"},
        intake={"repeated": "warn"},  # this camera has few pictures
    )
    with Belt(line, distinct_parts(synthetic_root, PARTS)) as belt:
        collecting = line.start_child(
            "collect", command(line, "collect", "--count", str(PARTS), "--frames-of", "cap")
        )
        line.wait_for(lambda: line.states[-1].collecting is not None, worker, 60)
        belt.send("praline")
        belt.run_until_end(collecting, "cap", worker)
        assert [event for event in events(collecting) if event["event"] == "collected"] == [
            {
                "event": "collected",
                "product": "cap",
                "collected": PARTS,
                "good": PARTS,
                "folder": str(line.folder / "collected"),
            }
        ]
        product = read_product(line.folder / "collected", "cap")
        assert {part.facts["reason"] for part in product.parts} == {Reason.UNKNOWN_RECIPE}

        killed = line.start_child("killed", command(line, *TEACH))
        belt.run_until(
            lambda: any(event.get("stage") == "extract" for event in events(killed)), "praline", worker
        )
        killed.kill()
        assert not (folder / "cap").exists()
        assert not (folder / ".taught" / "cap").exists()

        before = len(line.received)
        teaching = line.start_child("teach", command(line, *TEACH, "--use", "--by", "ann"))
        belt.run_until_end(teaching, "praline", worker)
        line.wait_for(lambda: len(line.received) == belt.sent, worker, 60)
        beside = line.received[before:]
        assert len(beside) > 3
        assert all(
            item.result.verdict is not Verdict.FAULT for item in beside if item.result.recipe == "praline"
        )

        taught = next(event for event in events(teaching) if event["event"] == "taught")
        assert (taught["train_parts"], taught["recipe"]) == (
            PARTS - PARTS // 5,
            str(folder / ".taught" / "cap"),
        )
        assert sum(taught["preview"]["counts"].values()) > 0
        assert any("ten more" in remark for remark in taught["remarks"])
        assert [event for event in events(teaching) if event["event"] == "used"] == [
            {"event": "used", "recipe": "cap", "version": 1}
        ]
        belt.send("cap")
        line.wait_for(lambda: len(line.received) == belt.sent, worker, 60)
        newest = max((item.result for item in line.received), key=lambda result: result.seq)
        assert (newest.recipe, newest.model_sha) == ("cap", taught["model_sha"])
        assert newest.verdict is not Verdict.FAULT
    line.finish(worker)
    keys = [item.key for item in line.received]
    assert len(keys) == len(set(keys)) == belt.sent

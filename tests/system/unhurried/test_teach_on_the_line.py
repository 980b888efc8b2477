"""A product is collected from a running line, taught beside it and used, with the commands alone."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.belt import Belt, distinct_parts
from tests.system.conftest import Line

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_records.collected import read_product
from cmfm_records.enough_parts import LEAST_PARTS
from cmfm_sim.processes import Child, program

pytestmark = [pytest.mark.system, pytest.mark.timeout(1500)]

MakeLine = Callable[[str], Line]
PARTS = LEAST_PARTS


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
        assert "ten more" in taught["gain"]
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

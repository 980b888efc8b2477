"""Drift on a running line: no part passes while parts drift, the scrape says so, and a replay reproduces them."""

import json
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from cmfm_client.requests import RequestClient
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_records.archived_part import part_folders
from cmfm_sim.ports import free_ports
from cmfm_worker.recipes.drift_section import DriftSection
from cmfm_worker.recipes.file_hash import sha256_of
from cmfm_worker.recipes.folder import replace_recipe_file
from cmfm_worker.recipes.limits_section import CONTENT_REASONS
from cmfm_worker.recipes.recipe import read_recipe_file
from cmfm_worker.recipes.sections import ThresholdSection

from .conftest import Line
from .hand_camera import HandCamera
from .test_record import ask_worker

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

LEAST = 50


def make_strange(folder: Path) -> None:
    """Let every part PASS by score and limits, and let the nominal parts be unlike any part that comes."""
    recipe = read_recipe_file(folder)
    changes = {
        "threshold": ThresholdSection(fail_at=1e9, out_of_fold_scores=tuple(1000.0 + i for i in range(40))),
        "limits": recipe.limits.model_copy(update={"off": CONTENT_REASONS}),
        "drift": DriftSection(act="undecided", window=LEAST, least_parts=LEAST),
    }
    replace_recipe_file(folder, sha256_of(folder / "recipe.toml"), recipe.model_copy(update=changes))


def test_no_part_passes_while_parts_drift(
    make_line: Callable[[str], Line], recipes: Path, synthetic_root: Path
) -> None:
    """From the fiftieth part on parts are UNDECIDED `drift`; a loaded recipe begins anew; kept parts come out equal."""
    line = make_line("ipc")
    shutil.copytree(recipes / "praline", line.folder / "strange" / "praline")
    make_strange(line.folder / "strange" / "praline")
    (port,) = free_ports(1)
    worker = line.start(
        recipes={"folder": str(line.folder / "strange")}, metrics={"port": port}, ring={"slots": 256}
    )

    def scraped(name: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        (found,) = [text for text in lines if text.startswith(name)]
        return float(found.rsplit(" ", 1)[1])

    with HandCamera(line.endpoints.frames, synthetic_root) as camera:
        camera.wait_for_worker()
        for part in range(LEAST + 2):
            camera.send(f"p{part}")
            camera.rest(1 / line.rate_hz(20))
            line.listen(0)
        line.wait_for(lambda: len(line.received) == LEAST + 2, worker, 120)
        assert scraped('cmfm_drifting{recipe="praline"}') == 1
        assert scraped('cmfm_drift_psi{measure="score",recipe="praline"}') > 1
        with RequestClient(line.endpoints.control, timeout_s=60) as client:
            client.load_recipe("praline")
        assert scraped('cmfm_drifting{recipe="praline"}') == 0
        camera.send("after")
        line.wait_for(lambda: len(line.received) == LEAST + 3, worker, 120)
    line.finish(worker)

    results = sorted((item.result for item in line.received), key=lambda result: result.seq)
    drifted = results[LEAST - 1 : LEAST + 2]
    assert {result.reason for result in drifted} == {Reason.DRIFT}
    assert {result.verdict for result in [*results[: LEAST - 1], results[-1]]} == {Verdict.PASS}
    assert drifted[0].detail.startswith("score: PSI")
    assert "drift" in worker.output()
    kept = part_folders(line.folder / "kept")
    assert len(kept) == len(drifted)
    code, out, err = ask_worker("replay-part", kept[0], "--config", line.folder / "line.toml", "--json")
    assert code == 0, out + err
    said = json.loads(out)
    assert said["equal"]
    assert said["replayed"]["reason"] == "drift"

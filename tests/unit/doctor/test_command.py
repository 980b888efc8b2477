"""`cmfm-worker doctor` as a person runs it: exit codes, text, JSON, the bundle, and beside a running line."""

import json
import zipfile
from pathlib import Path

import pytest
from tests.unit.made.dataset import run
from tests.unit.made.examined import eventually, sound_recipe
from tests.unit.made.service import Outside, line_settings, serve

from cmfm_records.ledger import Question, open_ledger
from cmfm_worker.doctor.examination import LOOKS, examine
from cmfm_worker.doctor.findings import Finding, Outcome
from cmfm_worker.doctor.visit import Options, Visit, find_worker


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The settings of a line that stands."""
    sound_recipe(tmp_path)
    sockets = "".join(
        f'{name} = "ipc://{tmp_path}/{name}"\n' for name in ("results", "maps", "recovery", "control")
    )
    path = tmp_path / "line.toml"
    path.write_text(
        f'[sockets]\n{sockets}frames = ["ipc://{tmp_path}/frames"]\n[device]\nname = "cpu"\nwarmup_px = 64\n'
    )
    return path


def test_each_line_of_a_pipe_is_outcome_check_seen_and_do(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line that stands has something to do; every check has its line, and the last line sums up."""
    assert run("doctor", "--config", config, "--listen", 0.2, "--rate", 1) == 1
    *lines, last = capsys.readouterr().out.splitlines()
    rows = [line.split("\t") for line in lines]
    assert {len(row) for row in rows} == {4}
    assert {row[0] for row in rows} <= {str(outcome) for outcome in Outcome}
    assert list(dict.fromkeys(row[1] for row in rows)) == [check.name for check, _ in LOOKS]
    assert last.startswith("# ")
    assert "TO DO" in last
    assert ["TO DO", "worker", "no worker of this line runs", "systemctl start cmfm-worker"] in rows


def test_json_and_bundle(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads the same, and the bundle holds it."""
    bundle = config.parent / "b.zip"
    assert run("doctor", "--config", config, "--listen", 0.2, "--json", "--bundle", bundle) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["good"] is False
    assert {"check", "outcome", "seen", "do"} == set(report["findings"][0])
    with zipfile.ZipFile(bundle) as archive:
        assert json.loads(archive.read("report.json")) == report
        assert "TO DO" in archive.read("report.txt").decode()


def test_settings_that_cannot_be_read(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """line.toml is bad usage; a gateway.toml that is not there is a line, and the rest is looked at."""
    assert run("doctor", "--config", config.parent / "none.toml") == 2
    capsys.readouterr()
    missing = config.parent / "gateway.toml"
    assert run("doctor", "--config", config, "--listen", 0.2, "--gateway", missing, "--json") == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert "gateway.toml: no such file" in findings[0]["seen"]
    assert findings[-1]["check"] == "page"


def test_outputs_are_tried_first(config: Path) -> None:
    """A bundle that cannot be written and a log that is not there are errors before the first look."""
    assert run("doctor", "--config", config, "--bundle", config.parent / "gone" / "b.zip") == 2
    assert run("doctor", "--config", config, "--log", config.parent / "none.log") == 2
    assert run("doctor", "--config", config, "--key", config.parent / "none.key_secret") == 2


def rows(folder: Path) -> int:
    with open_ledger(folder / "ledger.sqlite") as reader:
        return reader.totals(Question()).triggers


def test_running_line_is_asked_and_not_disturbed(tmp_path: Path) -> None:
    """Every part has its verdict, the worker is ready, and the ports are those of this process.

    The camera's only subscriber stays the worker.
    """
    settings = line_settings(tmp_path)
    found: list[Finding] = []

    def act(outside: Outside) -> None:
        outside.send(3)
        outside.listen(3)
        eventually(lambda: rows(tmp_path) == 3)
        worker = find_worker(settings, None)
        assert worker is not None
        assert worker.state is not None
        options = Options(rate_hz=0.01)
        found.extend(examine(Visit(tmp_path / "line.toml", settings, options, worker)))
        outside.send(2, first=3)
        outside.listen(2)
        outside.signal()

    outside = Outside(settings, act)
    ended = serve(settings)
    outside.end()
    assert ended.code == 0
    by_check = {check.name: [each for each in found if each.check == check.name] for check, _ in LOOKS}
    for name in ("cameras", "worker", "ports", "speed", "ledger", "leftovers"):
        assert {each.outcome for each in by_check[name]} == {Outcome.GOOD}, by_check[name]
    assert "3 parts" in by_check["worker"][0].seen
    assert "last frame" in by_check["cameras"][0].seen
    assert find_worker(settings, None) is None

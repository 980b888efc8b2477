"""The benchmark's command line: one parser behind `cmfm-worker bench` and `python -m cmfm_worker.bench`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.made.dataset import run

from cmfm_worker.bench.__main__ import main
from cmfm_worker.bench.command import parse_arguments


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--extractors", "papers"], "--extractors: expected some of lite, classic, paper, found papers"),
        (["--blocks", "12,7"], "--blocks: expected some of 12, 8, 4, 1, found 7"),
        (["--extractors", "paper"], "needs --weights DIR with the published files, or --seeded"),
        (["--batches", "0"], "batches start at 1"),
        (["--rgb", "a.png"], "--rgb and --xyz belong together"),
        (["--devices", "tpus"], "--devices: 'tpus' is not auto"),
        (["--frames", "nowhere.npz"], "nowhere.npz: expected an .npz file with rgb and xyz"),
        (["--extractors", "paper", "--weights", "nowhere"], "nowhere is not a folder"),
    ],
)
def test_bad_options_are_explained(
    given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both commands exit with 2 and one message that names the option."""
    assert main([*given, "--seconds", "0"]) == 2
    assert message in capsys.readouterr().err
    assert run("bench", *given, "--seconds", "0") == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("given", [["--block", "8"], ["--blocks", "eight"], ["--seconds"], ["8"]])
def test_options_that_cannot_be_read_are_named(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown option, a value of another kind or a missing value exits with 2 and is shown."""
    assert run("bench", *given) == 2
    shown = capsys.readouterr().err
    assert "cmfm-worker bench: error:" in shown
    assert given[-1] in shown


def test_command_line_gives_the_options() -> None:
    """Lists are comma separated; dashes in an option are underscores in its name."""
    given = ["--blocks", "8,1", "--group-sizes=32", "--twin", "--json", "x.json"]
    options, json_file = parse_arguments(given, "bench")
    assert (options.blocks, options.group_sizes, options.twin) == ((8, 1), (32,), True)
    assert json_file == Path("x.json")


def test_help_does_not_wait_for_torch() -> None:
    """`cmfm-worker bench --help` explains every option and its default, and does not import torch."""
    code = "import sys; from cmfm_worker.app import main\ntry:\n    main(['bench', '--help'])\nexcept SystemExit:\n"
    code += "    sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--image-extractor" in done.stdout
    assert "Default: dino." in done.stdout

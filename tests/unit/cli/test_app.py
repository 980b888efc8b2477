"""The command line: help, exit codes, and how errors are shown."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.unit.made.dataset import run

from cmfm_worker.app import exit_code
from cmfm_worker.cfm.weights import WeightsError
from cmfm_worker.errors import ExitCode, HungDeviceError, InputError, LostDeviceError, StartupError


def test_help_names_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` lists the commands and explains the exit codes."""
    assert run("--help") == 0
    shown = capsys.readouterr().out
    for command in ("fit", "prepare", "import", "inspect", "evaluate", "check", "weights", "--config"):
        assert command in shown
    for text in ("Exit codes", "bad input", "could not start", "accelerator was lost", "computation hung"):
        assert text in shown


def test_help_does_not_wait_for_torch() -> None:
    """`--help` imports neither torch nor timm, so that it is quick."""
    program = (
        "import sys, cmfm_worker.app; print(sorted({'torch', 'timm', 'zmq', 'scipy'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [[], ["fitt"], ["--config"], ["--config", "a.toml", "fit"], ["check"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage ends with exit code 2 and without a traceback."""
    assert run(*arguments) == 2
    shown = capsys.readouterr()
    assert any(text in shown.out + shown.err for text in ("Usage", "--config"))
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("x"), ExitCode.BAD_INPUT),
        (WeightsError("x"), ExitCode.BAD_INPUT),
        (StartupError("x"), ExitCode.STARTUP),
        (LostDeviceError("x"), ExitCode.LOST_DEVICE),
        (HungDeviceError("x"), ExitCode.HUNG_DEVICE),
        (ValueError("x"), ExitCode.BUG),
        (OSError("x"), ExitCode.BUG),
    ],
)
def test_exit_codes(error: Exception, code: ExitCode) -> None:
    """Only errors that the user can correct are bad input; everything unforeseen is our bug."""
    assert exit_code(error) is code


def test_a_bug_shows_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unforeseen error ends with exit code 1 and a traceback to send to us."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("cmfm_worker.recipes.recipe.load_recipe", broken)
    assert run("inspect", "--recipe", "a", "--rgb", "b", "--xyz", "c", "--out", "d") == 1
    assert "ZeroDivisionError: a bug" in capsys.readouterr().err


SIGNALLED_WHILE_LOADING = """
import os, signal, sys
from cmfm_worker import app

class Signal:
    def find_spec(self, name, *_):
        if name == "torch":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Signal())
app.main(["--config", "nowhere.toml"])
"""


def test_signal_while_the_program_loads_ends_it_with_0() -> None:
    """A SIGTERM in the first seconds ends the process with 0, not by the signal."""
    command = [sys.executable, "-c", SIGNALLED_WHILE_LOADING]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")

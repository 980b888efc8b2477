"""The threads of a computation: one core is left free, and threads spin only briefly."""

import os
import subprocess
import sys

import pytest
import torch

from cmfm_worker.line.health.threads import SPINS, computing_threads, wait_briefly


@pytest.mark.parametrize(("torch_takes", "asked", "threads"), [(8, 0, 7), (2, 0, 1), (1, 0, 1), (2, 2, 2)])
def test_one_core_is_left_free_unless_all_are_asked_for(torch_takes: int, asked: int, threads: int) -> None:
    """By default one core is left for camera, sockets and system; a machine with one core uses it."""
    before = torch.get_num_threads()
    torch.set_num_threads(torch_takes)
    assert computing_threads(asked) == threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, str(SPINS)), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_environment_decides_how_threads_wait(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], spins: str | None
) -> None:
    """A value that an operator has set stays."""
    monkeypatch.delitem(sys.modules, "torch")
    environment = dict(given)
    wait_briefly(environment)
    assert environment.get("GOMP_SPINCOUNT") == spins


def test_after_torch_nothing_is_set() -> None:
    """Once torch is imported the variable would have no effect, so it is not set."""
    environment: dict[str, str] = {}
    wait_briefly(environment)
    assert environment == {}


def test_command_sets_it_before_torch_is_imported() -> None:
    """The process of a command sets the variable at its beginning."""
    program = (
        "import os, sys; from cmfm_worker.app import main\n"
        "try: main(['--help'])\n"
        "finally: sys.stderr.write(os.environ['GOMP_SPINCOUNT'] + str('torch' in sys.modules))"
    )
    unset = {
        key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    ended = subprocess.run(
        [sys.executable, "-c", program], check=False, env=unset, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, f"{SPINS}False")

"""Our programs as child processes: none is left running, and a dead one shows why."""

import os
import sys
import time
from pathlib import Path

import pytest

from cmfm_sim.errors import FailedError
from cmfm_sim.processes import Child, Children, program

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def start_and_fail(logs: Path, started: list[Child]) -> None:
    with Children(logs) as children:
        started.append(children.start("sleeper", python("import time; time.sleep(60)")))
        raise ZeroDivisionError


def test_children_are_ended_however_the_context_is_left(tmp_path: Path) -> None:
    """Also by an error in the middle."""
    started: list[Child] = []
    with pytest.raises(ZeroDivisionError):
        start_and_fail(tmp_path, started)
    assert [child.returncode for child in started] == [-15]


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    """After the time it was given."""
    child = Child("deaf", python(DEAF), tmp_path / "log")
    while "deaf" not in child.output():
        time.sleep(0.01)
    child.end(limit_s=0.2)
    assert child.returncode == -9


def test_a_dead_child_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """With its name, its exit code and the log's path."""
    code = "import sys; [print('line', i) for i in range(50)]; sys.exit('it went wrong')"
    child = Child("worker", python(code), tmp_path / "worker.log")
    with pytest.raises(
        FailedError, match=r"worker ended with exit code 1; the end of .*worker\.log"
    ) as caught:
        child.wait(lambda: False, 20)
    assert "it went wrong" in str(caught.value)
    assert "line 49" in str(caught.value)
    assert "line 3\n" not in str(caught.value)


def test_a_stop_or_a_limit_ends_the_waiting(tmp_path: Path) -> None:
    """The child itself is ended by its owner."""
    with Children(tmp_path) as children:
        child = children.start("sleeper", python("import time; time.sleep(60)"))
        with pytest.raises(FailedError, match="stopped"):
            child.wait(lambda: True, 20)
        with pytest.raises(FailedError, match=r"did not end within 0\.1 s"):
            child.wait(lambda: False, 0.1)


def test_overrides_meant_for_another_line_do_not_reach_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CMFM_… variables would move the demo's ports."""
    monkeypatch.setenv("CMFM_SOCKETS__RESULTS", "tcp://127.0.0.1:1")
    child = Child("env", python("import os; print(sorted(os.environ))"), tmp_path / "log")
    child.wait(lambda: False, 20)
    assert "CMFM_SOCKETS__RESULTS" not in child.output()
    assert "PATH" in child.output()


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Not a traceback."""
    with (
        Children(tmp_path) as children,
        pytest.raises(FailedError, match="no-such-program cannot be started"),
    ):
        children.start("x", ["/no-such-program"])


@pytest.mark.parametrize("installed", [True, False])
def test_our_programs_start_with_or_without_their_scripts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    """A wheel in an odd place has no script beside the interpreter."""
    if not installed:
        link = tmp_path / "python"
        link.symlink_to(sys.executable)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        monkeypatch.setattr(sys, "executable", str(link))
    child = Child("sim", [*program("cmfm-sim"), "--help"], tmp_path / "log")
    child.wait(lambda: False, 60)
    assert "replay" in child.output()

"""The process of a line, around the service."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmfm_worker.cli import run
from cmfm_worker.errors import ExitCode
from cmfm_worker.settings.model import Settings

EXAMPLE = Path(__file__).parents[3] / "deploy" / "line.toml"
GRACE_S = 0.005
"""What a verdict has after its deadline (docs/reliability.md)."""


class NotedService:
    """Serves nothing, and notes how long a thread may keep the interpreter while it would."""

    left_computing = False
    noted_s: float = 0.0

    def __init__(self, _settings: Settings) -> None:
        pass

    def serve(self) -> ExitCode:
        NotedService.noted_s = sys.getswitchinterval()
        return ExitCode.OK


@pytest.fixture
def interval() -> Iterator[None]:
    """As Python comes, before and after."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(GRACE_S)
    yield
    sys.setswitchinterval(before_s)


def test_no_thread_keeps_the_interpreter_for_the_grace_of_a_verdict(
    interval: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that computes lets the one that owes a verdict in within a fifth of the 5 ms."""
    monkeypatch.setattr(run, "Service", NotedService)
    monkeypatch.setattr(run, "keep_memory", lambda: None)  # a matter of the whole process, here of the tests'
    assert run.run_line(EXAMPLE) == ExitCode.OK
    assert 0 < NotedService.noted_s <= GRACE_S / 5

"""`run_line`: the process settings around the service."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmfm_worker.cli.run import run_line
from cmfm_worker.errors import ExitCode
from cmfm_worker.line.service import Ended
from cmfm_worker.settings.model import Settings

EXAMPLE = Path(__file__).parents[3] / "deploy" / "line.toml"
GRACE_S = 0.005
"""How long after its deadline a verdict may be sent (docs/reliability.md)."""


@pytest.fixture
def interval() -> Iterator[None]:
    """Python's default before and after the test."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(GRACE_S)
    yield
    sys.setswitchinterval(before_s)


@pytest.mark.usefixtures("interval")
def test_no_thread_keeps_the_interpreter_for_the_grace_of_a_verdict() -> None:
    """A thread that computes lets the verdict thread run within a fifth of the 5 ms."""
    noted_s: list[float] = []

    def serve(_: Settings) -> Ended:
        noted_s.append(sys.getswitchinterval())
        return Ended(ExitCode.OK)

    # Without `keep_memory`, which would hold for the whole process, here that of the tests.
    assert run_line(EXAMPLE, serve, keep_memory=lambda: True) == ExitCode.OK
    assert 0 < noted_s[0] <= GRACE_S / 5

"""The log under a flood: few lines of one kind and source, an exact count of the others, nothing else lost."""

import contextlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog
from tests.unit.line.intake.test_admission import FRAME, HEADER, Intake, message
from tests.unit.made.line_messages import result

from cmfm_protocol.wire.verdict import Verdict
from cmfm_service.log import configure_logging, logging_to_stderr
from cmfm_service.log_limit import FAULT_LINES, LINES, SUPPRESSED, WINDOW_S, LimitLines
from cmfm_worker.line.verdicts.result import log_verdict


class Log:
    """The lines that were written, and the limit."""

    def __init__(self) -> None:
        self._text = io.StringIO()
        self.limit = configure_logging("json", "info", self._text)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._text.getvalue().splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    """A log into memory."""
    before = structlog.get_config()
    yield Log()
    structlog.configure(**before)


def test_garbage_from_one_camera_writes_few_lines(log: Log) -> None:
    """Thousands of damaged messages are some lines and a count; another camera's line is not lost among them."""
    intake = Intake()
    for _ in range(3000):
        intake.send([FRAME, b"\xc1"], "tcp://left:1")
    intake.send([FRAME, b"\xc1"], "tcp://right:1")
    assert Counter(line["camera"] for line in log.lines) == {"left": LINES, "right": 1}
    log.limit.report(now=True)
    (rest,) = [line for line in log.lines if line["event"] == SUPPRESSED]
    assert (rest["of"], rest["camera"], rest["lines"]) == ("damaged_message", "left", 3000 - LINES)


def test_frames_sent_again_write_few_lines(log: Log) -> None:
    """The same holds for every other kind of line."""
    intake = Intake()
    for _ in range(500):
        intake.send(message(replace(HEADER, recipe="none")))
    assert len(log.lines) == LINES


def test_faults_by_the_thousand_write_few_lines_and_normal_verdicts_all(log: Log) -> None:
    """A line of twenty parts a second is logged whole."""
    logger = structlog.get_logger()
    for seq in range(200):
        log_verdict(logger, result(seq, camera="left"))
    for seq in range(2000):
        log_verdict(logger, result(seq, Verdict.FAULT, camera="left"))
    assert Counter(line["verdict"] for line in log.lines) == {"PASS": 200, "FAULT": FAULT_LINES}


def test_count_of_what_was_left_out_follows() -> None:
    """With the next line of the same kind, or alone when the window is over."""
    now_s = [0.0]
    limit = LimitLines(clock_s=lambda: now_s[0])
    written: list[dict[str, Any]] = []

    def write(event: str) -> None:
        with contextlib.suppress(structlog.DropEvent):
            written.append(dict(limit(None, "info", {"event": event})))  # type: ignore[arg-type]

    for _ in range(LINES + 5):
        write("kind")
    assert [line.get("suppressed") for line in written] == [None] * LINES
    with structlog.testing.capture_logs() as own:
        now_s[0] += WINDOW_S
        write("other")
    assert own == [{"event": SUPPRESSED, "of": "kind", "lines": 5, "log_level": "warning"}]


def test_count_is_written_although_nothing_else_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    """A flood before a quiet end leaves its count in the log."""
    before = structlog.get_config()
    with logging_to_stderr("json", "info"):
        for _ in range(LINES + 7):
            structlog.get_logger().warning("noise")
    structlog.configure(**before)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert lines[-1]["event"] == SUPPRESSED
    assert (len(lines), lines[-1]["lines"]) == (LINES + 1, 7)

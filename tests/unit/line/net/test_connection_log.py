"""The log of refused and admitted clients: every refusal counts, few are written."""

from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import CapturingLogger

from cmfm_worker.line.net.zap import LOG_LINES, LOG_WINDOW_S, ConnectionLog


class Seconds:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def written() -> Iterator[CapturingLogger]:
    """Lines of the log."""
    before = structlog.get_config()
    logger = CapturingLogger()
    structlog.configure(
        processors=[lambda _logger, _name, event: ((), event)], logger_factory=lambda *_: logger
    )
    yield logger
    structlog.configure(**before)


def test_client_is_logged_once_a_window_and_counted_every_time(written: CapturingLogger) -> None:
    """A refused client that tries again and again is one line a minute, with its key and address."""
    clock = Seconds()
    log = ConnectionLog(clock_s=clock)
    for _ in range(3):
        log.refused_key("control", key="K", address="10.0.0.7")
    (line,) = written.calls
    assert line.method_name == "warning"
    assert line.kwargs == {
        "event": "client_refused",
        "socket": "control",
        "key": "K",
        "address": "10.0.0.7",
        "refused": 1,
    }
    clock.now_s += LOG_WINDOW_S
    log.refused_key("control", key="K", address="10.0.0.7")
    assert [call.kwargs["refused"] for call in written.calls] == [1, 4]
    assert log.refused == {"control": 4}


def test_sockets_and_outcomes_are_logged_separately(written: CapturingLogger) -> None:
    """An admission, a refusal at another socket and a failed handshake are lines of their own."""
    log = ConnectionLog(clock_s=Seconds())
    for _ in range(2):
        log.admitted("results", client="plc", address="10.0.0.7")
        log.refused_key("control", key="K", address="10.0.0.7")
        log.failed_handshake("control")
    assert [(call.method_name, call.kwargs["event"], call.kwargs["socket"]) for call in written.calls] == [
        ("info", "client_admitted", "results"),
        ("warning", "client_refused", "control"),
        ("warning", "client_refused", "control"),
    ]
    assert log.refused == {"control": 4}


def test_many_clients_write_a_limited_number_of_lines(written: CapturingLogger) -> None:
    """A flood of strangers neither fills the log nor goes uncounted."""
    log = ConnectionLog(clock_s=Seconds())
    for client in range(10 * LOG_LINES):
        log.refused_key("results", key=str(client), address="10.0.0.7")
    assert len(written.calls) == LOG_LINES
    assert log.refused == {"results": 10 * LOG_LINES}

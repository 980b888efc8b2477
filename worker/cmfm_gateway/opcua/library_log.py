"""The library's log: its errors become lines of ours, at our rate; what it says of normal life is not written."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Final

import structlog

LOGGERS: Final = ("asyncua", "asyncuagds")


class _ToStructlog(logging.Handler):
    """Writes each record as `opcua_library`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; the error's type and text without its stack. Faults that clients are sent are left out."""
        if record.getMessage().startswith("sending service fault"):
            return
        error = record.exc_info[1] if record.exc_info else None
        structlog.get_logger("opcua").warning(
            "opcua_library", message=record.getMessage()[:300], error=repr(error)[:300] if error else ""
        )


@contextlib.contextmanager
def library_log() -> Iterator[None]:
    """Take over the library's loggers for a time."""
    handler = _ToStructlog(logging.ERROR)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    former = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.ERROR)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, former, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate

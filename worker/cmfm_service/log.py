"""The log: structured events on stderr, for people (console) or for machines (json)."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, TextIO, cast

import structlog

from cmfm_service.log_limit import LimitLines
from cmfm_service.log_thread import LogThread

CLOSE_LIMIT_S: Final = 2.0
"""How long the end of the process waits for the reader of the log."""


@contextmanager
def logging_to_stderr(style: Literal["console", "json"], level: str) -> Iterator[None]:
    """Set up structlog for the life of the process; writes pending lines at the end."""
    thread = LogThread()
    limit = configure_logging(style, level, cast("TextIO", thread))
    thread.when_idle(limit.report)
    try:
        yield
    finally:
        limit.report(now=True)
        thread.close(timeout_s=CLOSE_LIMIT_S)


def configure_logging(style: Literal["console", "json"], level: str, stream: TextIO) -> LimitLines:
    """Configure structlog to write to `stream`, at a limited rate. Returns the limit."""
    limit = LimitLines()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        limit,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if style == "json":
        rendering: list[structlog.typing.Processor] = [
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        rendering = [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=18, sort_keys=False)
        ]
    structlog.configure(
        processors=shared + rendering,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    return limit

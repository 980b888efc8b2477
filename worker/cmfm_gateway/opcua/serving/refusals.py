"""Counts and logs what the server refused, and ends a connection with a status code."""

from collections.abc import Callable
from typing import Any, Final

import structlog
from asyncua import ua

CAUSES: Final = (
    "untrusted_certificate",
    "bad_certificate",
    "wrong_password",
    "no_encryption",
    "not_activated",
    "too_many_sessions",
    "too_many_connections",
    "too_many_subscriptions",
    "too_large",
    "malformed",
    "not_allowed",
    "slow_reader",
)
"""Every cause that `Refusals.note` is given. Metrics and docs/plc.md list them."""


class CutOffError(Exception):
    """A connection must end: `status` is the code that the client is told, `cause` one of CAUSES."""

    def __init__(self, cause: str, status: int, detail: str = "") -> None:
        super().__init__(detail or cause)
        self.cause = cause
        self.status = status


class Refusals:
    """Tells counter and log of each refusal. `count` is called with the cause."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self._log = structlog.get_logger("opcua")

    def note(self, cause: str, peer: str, detail: str = "") -> None:
        """Count a refusal and write a line about it; the log limits how many."""
        self._count(cause)
        self._log.warning("opcua_refused", reason=cause, peer=peer, detail=detail)


def status_name(code: int) -> str:
    """Return the name of a status code, for the log."""
    name: str = ua.StatusCode(code).name
    return name


def peer_text(peer: Any) -> str:
    """Return `address:port` of a peer as the transport names it."""
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) and len(peer) >= 2 else str(peer)

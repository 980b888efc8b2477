"""Sends sd_notify(3) datagrams to systemd, for a unit with Type=notify.

The process's environment names the socket that systemd listens on (NOTIFY_SOCKET) and the watchdog's limit
(WATCHDOG_USEC, for the process WATCHDOG_PID). Without them nothing is sent. Only `turned`, which the loop calls when it
has completed a turn, feeds the watchdog.
"""

import select
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from cmfm_protocol.clock import NS_PER_S, Clock, SystemClock
from cmfm_service.errors import StartupError

FEEDS_PER_LIMIT: Final = 4
"""Feeds within the watchdog's limit while the loop turns (sd_watchdog_enabled(3) advises two or more)."""

SEND_LIMIT_S: Final = 1.0
"""How long a message that must arrive (READY=1, STOPPING=1) waits if systemd does not read."""

USEC_PER_S: Final = 1_000_000


class SystemdNotifier:
    """Notifies systemd. Any thread may call; a message that cannot be sent never stops the line."""

    def __init__(
        self, address: str = "", *, watchdog_s: float | None = None, clock: Clock | None = None
    ) -> None:
        self.watchdog_s = watchdog_s
        self._clock = clock or SystemClock()
        self._next_feed_ns = 0
        self._log = structlog.get_logger("supervisor")
        self._socket = connect(address) if address else None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], pid: int) -> "SystemdNotifier":
        """Make the notifier of the process `pid`. Raises StartupError for values that systemd never writes."""
        return cls(environment.get("NOTIFY_SOCKET", ""), watchdog_s=watchdog_s(environment, pid))

    def ready(self, status: str) -> None:
        """Tell that the line accepts frames, for the first time or again after a reload."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send(f"STATUS={text}")

    def reloading(self) -> None:
        """Tell that recipes are being loaded again; `ready` ends it."""
        usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000  # systemd compares it with its own clock
        self._send(f"RELOADING=1\nMONOTONIC_USEC={usec}\nSTATUS=reloading recipes")

    def stopping(self, status: str) -> None:
        """Tell that the line accepts no more frames and will end."""
        self._send(f"STOPPING=1\nSTATUS={status}")

    def turned(self, status: Callable[[], str]) -> None:
        """Feed the watchdog, if there is one and it is time to: the loop has completed a turn."""
        now_ns = self._clock.monotonic_ns()
        if self._socket is None or self.watchdog_s is None or now_ns < self._next_feed_ns:
            return
        if self._send(f"WATCHDOG=1\nSTATUS={status()}", wait=False):
            self._next_feed_ns = now_ns + int(self.watchdog_s / FEEDS_PER_LIMIT * NS_PER_S)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()

    def _send(self, message: str, *, wait: bool = True) -> bool:
        if self._socket is None:
            return False
        try:
            if wait:
                select.select([], [self._socket], [], SEND_LIMIT_S)
            self._socket.send(message.encode())
        except OSError as error:
            self._log.warning("supervisor_not_told", message=message.split("\n", 1)[0], error=str(error))
            return False
        return True


def connect(address: str) -> socket.socket:
    """Return a datagram socket to a path, or to a name in the abstract namespace (`@name`). Raises StartupError."""
    if not address.startswith(("/", "@")) or len(address) < 2:
        raise StartupError(f"NOTIFY_SOCKET={address!r}: expected an absolute path or @name")
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    sender.setblocking(False)
    try:
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError as error:
        sender.close()
        raise StartupError(f"NOTIFY_SOCKET={address!r}: {error}") from error
    return sender


def watchdog_s(environment: Mapping[str, str], pid: int) -> float | None:
    """Return the watchdog's limit for process `pid`, or None without a watchdog (sd_watchdog_enabled(3))."""
    limit, meant = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not limit or (meant and meant != str(pid)):
        return None
    if not limit.isdecimal() or int(limit) == 0:
        raise StartupError(f"WATCHDOG_USEC={limit!r}: expected a number of microseconds")
    return int(limit) / USEC_PER_S

"""File descriptors: how many a line needs, and whether the process may have them.

A process without a free descriptor accepts no client and opens no file, and nothing else shows that. So the need is
checked at the start, and the process's own limit is raised to what its supervisor allows.
"""

import resource
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from cmfm_service.http import MAX_CLIENTS
from cmfm_worker.errors import StartupError
from cmfm_worker.settings.model import Settings

PER_CAMERA: Final = 16
"""Two connections with a monitor each, twice while they are made anew."""

OWN: Final = 80
"""Bound sockets with their monitors, ledger and journal, parts that are archived, recipes while they are loaded."""


class Limits(NamedTuple):
    """Soft and hard limit, as in getrlimit(2)."""

    soft: int
    hard: int


def needed(settings: Settings, already_open: int) -> int:
    """Return the descriptors that a line may need at once."""
    http = 2 * MAX_CLIENTS if settings.metrics.port else 0
    cameras = PER_CAMERA * len(settings.camera_names)
    return already_open + OWN + cameras + settings.sockets.clients + http


def limit_for(need: int, limits: Limits) -> int | None:
    """Return the soft limit to set, None if it is high enough. Raises StartupError if the hard limit is not."""
    if limits.soft >= need or limits.soft == resource.RLIM_INFINITY:
        return None
    if limits.hard != resource.RLIM_INFINITY and limits.hard < need:
        raise StartupError(
            f"{need} file descriptors may be needed and {limits.hard} are allowed: raise LimitNOFILE in the unit "
            "(or ulimit -n), or lower [sockets] clients"
        )
    return need


def require_descriptors(settings: Settings) -> None:
    """Raise the process's limit to the need if that is necessary. Raises StartupError if it must not be."""
    need = needed(settings, sum(1 for _ in Path("/proc/self/fd").iterdir()))
    limits = Limits(*resource.getrlimit(resource.RLIMIT_NOFILE))
    soft = limit_for(need, limits)
    if soft is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, limits.hard))
        structlog.get_logger("service").info("descriptors_raised", limit=soft, before=limits.soft)

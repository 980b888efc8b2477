"""Ports: each one that our programs bind is free, or held by the program that should hold it."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cmfm_worker.doctor.addresses import Bindable, bindable, host_and_port
from cmfm_worker.doctor.findings import Check, Finding, Findings
from cmfm_worker.doctor.processes import listeners, process_of
from cmfm_worker.doctor.visit import OtherProgram, Visit
from cmfm_worker.line.net.sockets import is_served
from cmfm_worker.settings.model import Settings
from cmfm_worker.settings.sections.network import BOUND_SOCKETS

CHECK: Final = Check("ports")
WORKER: Final = "cmfm-worker"
SERVERS: Final = ("modbus", "opcua", "page", "metrics")
"""Sections of the other programs' settings that may bind a port."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A port that one of our programs binds, and the key of its settings."""

    program: str
    key: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Holder:
    """Who listens on a port: process id and program. None: the process is not visible to this user."""

    pid: int | None
    program: str


def check_ports(visit: Visit) -> Findings:
    """Look at every port and socket path that worker, gateway and page bind."""
    claims = [
        *worker_claims(visit.settings),
        *(each for other in visit.others for each in other_claims(other)),
    ]
    pid = visit.worker.pid if visit.worker else None
    found = [claim_finding(claim, pid, bindable, holder_of) for claim in claims]
    for key in BOUND_SOCKETS:
        endpoint: str = getattr(visit.settings.sockets, key)
        if endpoint.startswith("ipc://") and not endpoint.startswith("ipc://@"):
            found.append(path_finding(f"sockets.{key}", endpoint, running=visit.worker is not None))
    return found or [CHECK.note("no fixed port is bound")]


def worker_claims(settings: Settings) -> Iterator[Claim]:
    """Yield the TCP ports that the worker binds."""
    for key in BOUND_SOCKETS:
        address = host_and_port(getattr(settings.sockets, key))
        if address is not None:
            yield Claim(WORKER, f"sockets.{key}", *address)
    if settings.metrics.port:
        yield Claim(WORKER, "metrics.port", settings.metrics.host, settings.metrics.port)


def other_claims(other: OtherProgram) -> Iterator[Claim]:
    """Yield the TCP ports that gateway or page binds, by its settings."""
    for section in SERVERS:
        values = other.values.get(section, {})
        if _binds(values):
            yield Claim(other.program, f"{section}.port", str(values["host"]), int(values["port"]))


def _binds(values: Mapping[str, Any]) -> bool:
    """A section binds if it has a port, is not switched off, and is not the client of a PLC."""
    return bool(values.get("port")) and values.get("enabled", True) is True and values.get("role") != "client"


def claim_finding(
    claim: Claim,
    worker_pid: int | None,
    try_bind: Callable[[str, int], Bindable],
    holder: Callable[[int], Holder | None],
) -> Finding:
    """Judge one port: `try_bind` says whether it can be bound, `holder` who listens on it."""
    port = f"{claim.program} {claim.key}: {claim.host}:{claim.port}"
    state = try_bind(claim.host, claim.port)
    if state is Bindable.FREE:
        return CHECK.good(f"{port} is free")
    if state is Bindable.NOT_ALLOWED:
        return CHECK.to_do(
            f"{port} needs a privilege", "give the service CAP_NET_BIND_SERVICE, or use a port from 1024"
        )
    if state is Bindable.NOT_HERE:
        return CHECK.to_do(
            f"{port}: {state}", "correct the address; `ip address` lists those of this machine"
        )
    if state is Bindable.UNKNOWN:
        return CHECK.not_checked(f"{port}: {state}", "correct the host, or write an address")
    return _taken(claim, port, worker_pid, holder(claim.port))


def _taken(claim: Claim, port: str, worker_pid: int | None, holder: Holder | None) -> Finding:
    if holder is None or holder.pid is None:
        return CHECK.not_checked(f"{port} is in use; by whom cannot be seen", "run doctor as root")
    ours = worker_pid if claim.program == WORKER else None
    if holder.pid == ours or (ours is None and holder.program == claim.program):
        return CHECK.good(f"{port} is held by our {holder.program} (pid {holder.pid})")
    return CHECK.to_do(
        f"{port} is in use by {holder.program} (pid {holder.pid})",
        f"end that program, or set another {claim.key}",
    )


def holder_of(port: int) -> Holder | None:
    """Return who listens on a TCP port of this machine; None if nobody is seen."""
    found = listeners(port)
    pid = next((pid for pid in found.values() if pid is not None), None)
    if pid is None:
        return Holder(None, "") if found else None
    process = process_of(pid)
    return Holder(pid, process.program if process else "a process that has ended")


def path_finding(key: str, endpoint: str, *, running: bool) -> Finding:
    """Judge the path of an ipc socket: its folder can be written, and nobody else serves it."""
    path = Path(endpoint.removeprefix("ipc://"))
    where = f"{WORKER} {key}: {endpoint}"
    if not path.parent.is_dir():
        return CHECK.to_do(f"{where}: no folder {path.parent}", "make the folder, for the worker's user")
    if is_served(endpoint):
        if running:
            return CHECK.good(f"{where} is served")
        return CHECK.to_do(
            f"{where} is served, and no worker of this line runs", "end the program that serves it"
        )
    if not os.access(path.parent, os.W_OK):
        return CHECK.not_checked(
            f"{where}: {path.parent} cannot be written by this user", "run doctor as root"
        )
    return CHECK.good(f"{where} is free")

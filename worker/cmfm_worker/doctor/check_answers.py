"""Answers: the worker is ready, and gateway and page answer."""

import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Final

from cmfm_worker.doctor.addresses import local_host
from cmfm_worker.doctor.findings import Check, Finding, Findings
from cmfm_worker.doctor.visit import OtherProgram, RunningWorker, Visit

WORKER: Final = Check("worker")
CHECKS: Final = {"cmfm-gateway": Check("gateway"), "cmfm-hmi": Check("page")}
ANSWER_S: Final = 3.0
SHOWN_CHARS: Final = 120

Get = Callable[[str], tuple[int, str]]
"""Returns status and text of a URL. Raises OSError."""


def get(url: str) -> tuple[int, str]:
    """Ask a server of ours on this machine by HTTP; its certificate is not checked. Raises OSError."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S, context=context) as reply:  # noqa: S310 (http of ours)
            return reply.status, reply.read(4096).decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(4096).decode(errors="replace")


def check_worker(visit: Visit) -> Findings:
    """Look at the worker's state, and at its probe if it serves one."""
    if visit.worker is None:
        return [WORKER.to_do("no worker of this line runs", "systemctl start cmfm-worker")]
    found = [worker_finding(visit.worker)]
    metrics = visit.settings.metrics
    if metrics.port:
        found.append(probe_finding(WORKER, url_of(metrics.host, metrics.port, "/readyz"), get))
    return found


def worker_finding(worker: RunningWorker) -> Finding:
    """Judge the worker's state. One that could be asked and does not reply hangs."""
    process = f"pid {worker.pid}" if worker.pid else "on another host, or in a container"
    state = worker.state
    if state is None and worker.silent:
        return WORKER.to_do(
            f"a worker runs ({process}) and does not reply: {worker.why_no_state}",
            "it hangs: restart it (its log says why); if --key was given, is that key among its controllers?",
        )
    if state is None:
        return WORKER.not_checked(
            f"a worker runs ({process}) and does not tell its state: {worker.why_no_state}",
            "`cmfm-worker keys new` makes a pair; its NAME.key goes into the folder [curve] controllers",
        )
    counts = state.counts
    given = ", ".join(f"{counts[name]} {name}" for name in ("pass", "fail", "undecided", "fault"))
    seen = f"{state.phase} for {state.uptime_s / 3600:.1f} h ({process}): {counts['triggers']} parts, {given}"
    if counts["triggers"] != state.published + state.in_flight:
        return WORKER.to_do(
            f"{seen}, {state.in_flight} open: the account does not hold",
            "save a --bundle and tell the integrator",
        )
    if state.phase != "ready":
        return WORKER.to_do(seen, "wait until it is ready; `journalctl -u cmfm-worker` says what it does")
    return WORKER.good(seen)


def check_program(visit: Visit, program: str) -> Findings:
    """Look at the servers of gateway or page. Without its settings nothing is known of it."""
    check, other = CHECKS[program], visit.other(program)
    if other is None:
        option = "--gateway gateway.toml" if program == "cmfm-gateway" else "--page hmi.toml"
        return [check.note(f"not looked at; {option} adds it")]
    found = program_findings(check, other, get)
    return found or [check.note(f"{program} serves nothing here that could be asked; [metrics] port would")]


def program_findings(check: Check, other: OtherProgram, ask: Get) -> Findings:
    """Ask every server that the settings of gateway or page name."""
    found = []
    metrics = other.values.get("metrics", {})
    if metrics.get("port"):
        found.append(probe_finding(check, url_of(metrics["host"], metrics["port"], "/readyz"), ask))
    page = other.values.get("page")
    if page is not None:
        scheme = "https" if page.get("certificate") else "http"
        found.append(page_finding(check, url_of(page["host"], page["port"], "/", scheme), ask))
    for section in ("modbus", "opcua"):
        values = other.values.get(section, {})
        if values.get("enabled") and values.get("role") != "client":
            found.append(port_finding(check, section, values))
    return found


def url_of(host: str, port: int, path: str, scheme: str = "http") -> str:
    """Return the URL of a server of ours, as a client on this machine reaches it."""
    host = local_host(host)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}"


def probe_finding(check: Check, url: str, ask: Get) -> Finding:
    """Judge a readiness probe."""
    try:
        status, text = ask(url)
    except OSError as error:
        return check.to_do(f"{url} does not answer ({error})", "is it running? `systemctl status` says")
    said = "; ".join(text.split("\n"))[:SHOWN_CHARS].strip("; ")
    if status == 200:
        return check.good(f"{url}: {said}")
    return check.to_do(f"{url}: {status}, {said}", "the runbook says what to do about that state")


def page_finding(check: Check, url: str, ask: Get) -> Finding:
    """Judge the page: any answer below 500 is one, a login page too."""
    try:
        status, _ = ask(url)
    except OSError as error:
        return check.to_do(f"{url} does not answer ({error})", "systemctl start cmfm-hmi")
    if status < 500:
        return check.good(f"{url} answers")
    return check.to_do(f"{url} answers with {status}", "`journalctl -u cmfm-hmi` says why")


def port_finding(check: Check, section: str, values: Mapping[str, Any]) -> Finding:
    """Judge a TCP server by whether it accepts a connection."""
    where = f"{section} {values['host']}:{values['port']}"
    try:
        socket.create_connection((local_host(values["host"]), values["port"]), timeout=ANSWER_S).close()
    except OSError as error:
        return check.to_do(f"{where} does not answer ({error})", "systemctl start cmfm-gateway")
    return check.good(f"{where} accepts connections")

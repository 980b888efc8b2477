"""The checks of worker, gateway and page: ready, not ready, silent, with an account that does not hold."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.made.examined import outcomes, said, settings, visit
from tests.unit.made.line_messages import worker_state

from cmfm_protocol.wire.state import WorkerState
from cmfm_protocol.wire.verdict import Verdict
from cmfm_service.http import Health, application, serve_http
from cmfm_sim.ports import free_ports
from cmfm_worker.doctor.check_answers import (
    CHECKS,
    check_program,
    check_worker,
    program_findings,
    url_of,
    worker_finding,
)
from cmfm_worker.doctor.findings import Outcome
from cmfm_worker.doctor.processes import LockHolder
from cmfm_worker.doctor.visit import OtherProgram, RunningWorker

STATE = worker_state({Verdict.PASS: 5, Verdict.FAIL: 2})


def worker(state: WorkerState | None, why: str = "", *, silent: bool = False) -> RunningWorker:
    return RunningWorker(LockHolder(7, ""), state, why, silent=silent)


def test_ready_worker_is_good() -> None:
    """With its counts."""
    finding = worker_finding(worker(STATE))
    assert finding.outcome is Outcome.GOOD
    assert "7 parts, 5 pass, 2 fail, 0 undecided, 0 fault" in finding.seen


def test_worker_that_is_not_ready_or_does_not_add_up_is_to_do() -> None:
    """A drain, and a trigger without a verdict that is not open."""
    assert "draining" in said([worker_finding(worker(replace(STATE, phase="draining")))], Outcome.TO_DO)
    short = replace(STATE, counts=STATE.counts | {"triggers": 8})
    assert "the account does not hold" in said([worker_finding(worker(short))], Outcome.TO_DO)
    assert worker_finding(worker(replace(short, in_flight=1))).outcome is Outcome.GOOD


def test_silent_and_missing_workers(tmp_path: Path) -> None:
    """One that does not reply hangs, one that cannot be asked is not looked at; none at all has to be started."""
    assert "it hangs" in said([worker_finding(worker(None, "no reply", silent=True))], Outcome.TO_DO)
    assert "controllers" in said([worker_finding(worker(None, "give --key"))], Outcome.NOT_CHECKED)
    assert "systemctl start" in said(check_worker(visit(tmp_path)), Outcome.TO_DO)


@pytest.mark.parametrize(("passes", "outcome"), [(True, Outcome.GOOD), (False, Outcome.TO_DO)])
def test_probe_of_a_real_server(tmp_path: Path, passes: bool, outcome: Outcome) -> None:
    """200 is good; 503 is to do, with what the probe says."""
    probe = {"/readyz": lambda: Health(passes, "draining\ncamera left is lost")}
    port, stop = serve_http("127.0.0.1", 0, application(lambda *_: [], probe))
    try:
        given = settings(tmp_path, metrics={"host": "127.0.0.1", "port": port})
        found = check_worker(visit(tmp_path, settings=given, worker=RunningWorker(None, STATE)))
    finally:
        stop()
    assert outcomes(found) == [Outcome.GOOD, outcome]
    assert "draining; camera left is lost" in found[1].seen


def gateway(port: int, **values: object) -> OtherProgram:
    section = {"enabled": True, "role": "server", "host": "127.0.0.1", "port": port}
    return OtherProgram("cmfm-gateway", Path("gateway.toml"), {"modbus": section | values})


def test_server_of_the_gateway_accepts_or_not(tmp_path: Path) -> None:
    """A connection to its port tells; a PLC's own server is not asked."""
    (free,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = visit(tmp_path, others=(gateway(server.getsockname()[1]),))
        assert outcomes(check_program(there, "cmfm-gateway")) == [Outcome.GOOD]
    gone = visit(tmp_path, others=(gateway(free),))
    assert "does not answer" in said(check_program(gone, "cmfm-gateway"), Outcome.TO_DO)
    client = visit(tmp_path, others=(gateway(free, role="client"),))
    assert outcomes(check_program(client, "cmfm-gateway")) == [Outcome.NOTE]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, Outcome.GOOD), (401, Outcome.GOOD), (500, Outcome.TO_DO), (None, Outcome.TO_DO)],
)
def test_page_answers_or_not(status: int | None, outcome: Outcome) -> None:
    """A login page is an answer; an error of the server and silence are none."""

    def ask(url: str) -> tuple[int, str]:
        assert url == "https://127.0.0.1:8443/"
        if status is None:
            raise TimeoutError("timed out")
        return status, ""

    page = {"page": {"host": "0.0.0.0", "port": 8443, "certificate": "page.pem"}}  # noqa: S104 (as settings say)
    found = program_findings(CHECKS["cmfm-hmi"], OtherProgram("cmfm-hmi", Path("hmi.toml"), page), ask)
    assert outcomes(found) == [outcome]


def test_program_that_is_not_named_is_noted(tmp_path: Path) -> None:
    """The option that adds it is named."""
    assert "--gateway" in said(check_program(visit(tmp_path), "cmfm-gateway"), Outcome.NOTE)
    assert "--page" in said(check_program(visit(tmp_path), "cmfm-hmi"), Outcome.NOTE)


def test_addresses_of_http_servers() -> None:
    """IPv6 needs brackets, and a wildcard is this machine."""
    assert url_of("::", 9, "/readyz") == "http://[::1]:9/readyz"
    assert url_of("10.0.0.5", 9, "/") == "http://10.0.0.5:9/"

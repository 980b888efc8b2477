"""The check of the ports: free, taken by a stranger, held by our own program, not of this machine."""

import os
import socket
from pathlib import Path

import pytest
import zmq
from tests.unit.made.examined import outcomes, said, settings, visit

from cmfm_sim.ports import free_ports
from cmfm_worker.doctor.addresses import Bindable, bindable, reachable
from cmfm_worker.doctor.check_ports import Claim, Holder, check_ports, claim_finding, holder_of
from cmfm_worker.doctor.findings import Outcome
from cmfm_worker.doctor.processes import LockHolder
from cmfm_worker.doctor.visit import OtherProgram, RunningWorker
from cmfm_worker.settings.model import Settings


def tcp_settings(folder: Path, results: int, others: list[int]) -> Settings:
    names = ("maps", "recovery", "control")
    sockets = {name: f"tcp://127.0.0.1:{port}" for name, port in zip(names, others, strict=True)}
    return settings(folder, sockets=sockets | {"results": f"tcp://127.0.0.1:{results}"})


def test_port_that_a_stranger_holds_is_to_do(tmp_path: Path) -> None:
    """The line names the key of line.toml, the program and its pid; free ports are good."""
    _, *others = free_ports(4)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        found = check_ports(visit(tmp_path, settings=tcp_settings(tmp_path, port, others)))
    assert outcomes(found) == [Outcome.TO_DO, Outcome.GOOD, Outcome.GOOD, Outcome.GOOD]
    assert f"cmfm-worker sockets.results: 127.0.0.1:{port} is in use by" in found[0].seen
    assert f"(pid {os.getpid()})" in found[0].seen


def test_port_of_the_running_worker_is_good(tmp_path: Path) -> None:
    """This process holds the port, and it is the worker that holds the line's lock."""
    _, *others = free_ports(4)
    worker = RunningWorker(LockHolder(os.getpid(), ""), None)
    with socket.create_server(("127.0.0.1", 0)) as own:
        given = tcp_settings(tmp_path, own.getsockname()[1], others)
        found = check_ports(visit(tmp_path, settings=given, worker=worker))
    assert outcomes(found) == [Outcome.GOOD] * 4
    assert "held by our" in found[0].seen


def test_ports_of_gateway_and_page_are_looked_at(tmp_path: Path) -> None:
    """Those that their settings switch on; a client of the PLC binds none."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        enabled = {"host": "127.0.0.1", "port": port, "enabled": True, "role": "server"}
        other = OtherProgram("cmfm-gateway", tmp_path, {"modbus": enabled})
        client = OtherProgram("cmfm-gateway", tmp_path, {"modbus": enabled | {"role": "client"}})
        off = OtherProgram("cmfm-gateway", tmp_path, {"modbus": enabled | {"enabled": False}})
        assert f"modbus.port: 127.0.0.1:{port}" in said(
            check_ports(visit(tmp_path, others=(other,))), Outcome.TO_DO
        )
        for without in (client, off):
            assert not said(check_ports(visit(tmp_path, others=(without,))), Outcome.TO_DO)


CLAIM = Claim("cmfm-gateway", "modbus.port", "127.0.0.1", 502)


@pytest.mark.parametrize(
    ("state", "holder", "outcome"),
    [
        (Bindable.FREE, None, Outcome.GOOD),
        (Bindable.NOT_ALLOWED, None, Outcome.TO_DO),
        (Bindable.NOT_HERE, None, Outcome.TO_DO),
        (Bindable.UNKNOWN, None, Outcome.NOT_CHECKED),
        (Bindable.TAKEN, None, Outcome.NOT_CHECKED),
        (Bindable.TAKEN, Holder(None, ""), Outcome.NOT_CHECKED),
        (Bindable.TAKEN, Holder(7, "cmfm-gateway"), Outcome.GOOD),
        (Bindable.TAKEN, Holder(7, "nginx"), Outcome.TO_DO),
    ],
)
def test_states_of_a_port(state: Bindable, holder: Holder | None, outcome: Outcome) -> None:
    """A port in use is good only if the program that should hold it is seen to hold it."""
    assert claim_finding(CLAIM, None, lambda *_: state, lambda _: holder).outcome is outcome


def test_a_second_worker_on_a_port_is_to_do() -> None:
    """It is a cmfm-worker too, and not the one of this line."""
    claim = Claim("cmfm-worker", "sockets.results", "127.0.0.1", 5556)
    taken = claim_finding(claim, 5, lambda *_: Bindable.TAKEN, lambda _: Holder(7, "cmfm-worker"))
    assert taken.outcome is Outcome.TO_DO


def test_real_addresses() -> None:
    """A foreign address cannot be bound, an unknown host has none, and nobody listens on a free port."""
    (port,) = free_ports(1)
    assert bindable("127.0.0.1", port) is Bindable.FREE
    assert bindable("192.0.2.1", port) is Bindable.NOT_HERE
    assert bindable("no host at all", port) is Bindable.UNKNOWN
    assert holder_of(port) is None


@pytest.mark.parametrize(
    ("bound", "reached"),
    [
        ("tcp://*:5559", "tcp://127.0.0.1:5559"),
        ("tcp://0.0.0.0:5559", "tcp://127.0.0.1:5559"),
        ("tcp://[::]:5559", "tcp://[::1]:5559"),
        ("tcp://10.0.0.5:5559", "tcp://10.0.0.5:5559"),
        ("ipc:///run/cmfm/control", "ipc:///run/cmfm/control"),
    ],
)
def test_bound_endpoints_as_a_client_reaches_them(bound: str, reached: str) -> None:
    """A wildcard is no address to connect to."""
    assert reachable(bound) == reached


def test_paths_of_ipc_sockets(tmp_path: Path) -> None:
    """Served by somebody else, without a folder, or free."""
    with zmq.Context() as context, context.socket(zmq.PUB) as stranger:
        stranger.bind(f"ipc://{tmp_path}/results")
        assert "is served, and no worker" in said(check_ports(visit(tmp_path)), Outcome.TO_DO)
        served = check_ports(visit(tmp_path, worker=RunningWorker(None, None)))
        assert outcomes(served) == [Outcome.GOOD] * 4
    missing = settings(tmp_path, sockets={"results": f"ipc://{tmp_path}/gone/results"})
    assert "no folder" in said(check_ports(visit(tmp_path, settings=missing)), Outcome.TO_DO)

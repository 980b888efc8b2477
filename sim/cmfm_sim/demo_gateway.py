"""The demo's gateway: `cmfm-gateway` as a process of its own, with Modbus TCP and OPC UA on free ports."""

import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tomli_w

from cmfm_sim.demo_line import Endpoints
from cmfm_sim.errors import FailedError
from cmfm_sim.ports import free_ports
from cmfm_sim.processes import Child, Children, program

START_LIMIT_S: Final = 60.0
POLL_S: Final = 0.1

NEWEST_NUMBER: Final = 110
"""Register `newest_number` of docs/plc.md, two words."""


@dataclass(frozen=True, slots=True)
class DemoGateway:
    """A running gateway and where it is reached."""

    process: Child
    modbus_port: int
    opcua_port: int

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses for a person to try while the demo runs."""
        port = self.modbus_port
        return (
            f"Modbus TCP 127.0.0.1:{port}    newest verdict: mbpoll -m tcp -p {port} -r 168 -t 4 -1 127.0.0.1",
            f"OPC UA     opc.tcp://127.0.0.1:{self.opcua_port}/cmfm    anonymous, read only",
        )

    def results(self) -> int:
        """Ask the gateway over Modbus how many results it has passed on. Raises FailedError if it does not answer."""
        request = struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, NEWEST_NUMBER, 2)
        try:
            with socket.create_connection(("127.0.0.1", self.modbus_port), timeout=5) as connection:
                connection.sendall(request)
                reply = connection.makefile("rb").read(13)
            return int(struct.unpack(">I", reply[9:])[0])
        except (OSError, struct.error) as error:
            raise self.process.failure(f"did not answer on port {self.modbus_port}: {error}") from error


def start_gateway(
    children: Children, folder: Path, endpoints: Endpoints, stopped: Callable[[], bool]
) -> DemoGateway:
    """Write `gateway.toml`, start the gateway and wait until it listens. Raises FailedError."""
    modbus_port, opcua_port = free_ports(2)
    for old in folder.glob("gateway.sqlite*"):
        old.unlink()
    settings = {
        "worker": {
            "results": endpoints.results,
            "recovery": endpoints.recovery,
            "control": endpoints.control,
        },
        "modbus": {"enabled": True, "port": modbus_port, "results": "newest"},
        "opcua": {"enabled": True, "port": opcua_port, "anonymous_may_read": True},
    }
    config = folder / "gateway.toml"
    config.write_text(tomli_w.dumps(settings), encoding="utf-8")
    process = children.start("gateway", [*program("cmfm-gateway"), "--config", str(config)])
    until_s = time.monotonic() + START_LIMIT_S
    while not (_listens(modbus_port) and _listens(opcua_port)):
        if stopped():
            raise FailedError("stopped")
        if process.returncode is not None:
            raise process.failure(
                f"ended with exit code {process.returncode}; it needs pip install cmfm[plc]"
            )
        if time.monotonic() > until_s:
            raise process.failure(f"did not listen within {START_LIMIT_S:g} s")
        time.sleep(POLL_S)
    return DemoGateway(process, modbus_port, opcua_port)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

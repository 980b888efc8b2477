"""The demo's gateway is a real process that answers where the demo says."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from cmfm_sim.demo_gateway import NEWEST_NUMBER, start_gateway
from cmfm_sim.demo_line import Endpoints
from cmfm_sim.errors import FailedError
from cmfm_sim.processes import Children


def test_the_addresses_answer(tmp_path: Path) -> None:
    """Modbus by the register of the table, OPC UA by its port; the printed mbpoll line works as it stands."""
    from cmfm_gateway.modbus.registers import BY_NAME

    assert BY_NAME["newest_number"].address == NEWEST_NUMBER
    with Children(tmp_path / "logs") as children:
        gateway = start_gateway(children, tmp_path, Endpoints.free(), lambda: False)
        assert gateway.results() == 0
        with socket.create_connection(("127.0.0.1", gateway.opcua_port), timeout=5):
            pass
        modbus, opcua = gateway.addresses
        assert f"opc.tcp://127.0.0.1:{gateway.opcua_port}" in opcua
        if shutil.which("mbpoll"):
            command = modbus[modbus.index("mbpoll") :].split()
            printed = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
            assert printed.strip().endswith("0")  # nothing is valid without a worker
    with pytest.raises(FailedError, match="did not answer"):
        gateway.results()

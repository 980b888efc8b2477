"""Camera, worker, gateway, three foreign clients: each is killed, and every client's record agrees with the ledger."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from tests.made_mbpoll import MbpollPlc
from tests.made_mosquitto import Broker, Listener

from cmfm_gateway.reasons import VERDICT_NUMBERS
from cmfm_protocol.wire.verdict import Verdict
from cmfm_sim.ports import free_ports
from cmfm_sim.processes import Child, program
from cmfm_sim.trigger_log import read_triggers

from . import long_gateway, stub_worker
from .conftest import Line
from .tiny_parts import write_tiny_parts

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

MakeLine = Callable[[str], Line]
PARTS, RATE_HZ = 200, 8
FOREIGN = Path(__file__).parents[1] / "foreign"


class GatewayProcess:
    """`cmfm-gateway` with Modbus, OPC UA and MQTT, started again after each kill on the same store and ports."""

    def __init__(self, line: Line, broker: Broker) -> None:
        self._line = line
        self.modbus_port, self.opcua_port = free_ports(2)
        self.folder = line.folder / "gateway"
        self.folder.mkdir()
        self._config = self.folder / "gateway.toml"
        endpoints = line.endpoints
        settings: dict[str, Any] = {
            "worker": {
                "results": endpoints.results,
                "recovery": endpoints.recovery,
                "control": endpoints.control,
            },
            "modbus": {"enabled": True, "port": self.modbus_port, "buffer": 10_000},
            "opcua": {"enabled": True, "port": self.opcua_port},
            "mqtt": {"enabled": True, "port": broker.port, "reconnect_max_s": 0.5},
        }
        self._config.write_text(tomli_w.dumps(settings))
        self._starts = 0
        self._process: Child | None = None

    def start(self) -> Child:
        self._starts += 1
        command = [*program("cmfm-gateway"), "--config", str(self._config)]
        self._process = self._line.start_child(f"gateway{self._starts}", command)
        return self._process

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()

    def opcua(self, *arguments: str) -> list[str]:
        """Run `cmfm-gateway opcua …` as an engineer would; returns the command."""
        return [*program("cmfm-gateway"), "opcua", *arguments, "--config", str(self._config)]

    def rows(self) -> list[tuple[int, str, int, str, int]]:
        """number, boot_id, result_id, stream and seq of everything in the store."""
        query = "SELECT number, boot_id, result_id, stream_uuid, seq FROM results ORDER BY number"
        return self._query(query)

    def has_heard_the_worker(self) -> bool:
        """True once it follows a boot of the worker: from then on it wants every result."""
        return bool(self._query("SELECT boot_id FROM boots"))

    def confirmed(self) -> dict[str, int]:
        """Consumer → the last number that it has confirmed."""
        return dict(self._query("SELECT consumer, number FROM cursors"))

    def _query(self, query: str) -> list[Any]:
        store = self.folder / "gateway.sqlite"
        if not store.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", timeout=10, uri=True)) as connection:
            try:
                return connection.execute(query).fetchall()
            except sqlite3.OperationalError:  # its tables are being made
                return []


class NodeOpcUa:
    """node-opcua's client: events as they come, and at the end every result by GetResultListFiltered."""

    def __init__(self, line: Line, gateway: GatewayProcess) -> None:
        self._line, self._gateway = line, gateway
        self._starts = 0
        self._node = shutil.which("node")
        if self._node is None or not (FOREIGN / "node_modules" / "node-opcua-client").is_dir():
            assert os.environ.get("CMFM_FOREIGN_CLIENTS") != "required", "node-opcua is not installed"
        self.is_there = self._node is not None and (FOREIGN / "node_modules" / "node-opcua-client").is_dir()
        if self.is_there:
            self._make_files()

    def events(self) -> Child:
        """A client that prints events until it is killed."""
        return self._start("events", "100000")

    def all_results(self, child: Child) -> list[dict[str, Any]]:
        lines = [json.loads(text) for text in child.output().splitlines() if text.startswith("{")]
        assert not [line for line in lines if "error" in line], lines[-1]
        return lines

    def read_all(self) -> Child:
        return self._start("since", "0")

    def _start(self, *action: str) -> Child:
        self._starts += 1
        assert self._node is not None
        url = f"opc.tcp://127.0.0.1:{self._gateway.opcua_port}/cmfm"
        files = self._gateway.folder
        command = [self._node, str(FOREIGN / "opcua_client.mjs"), url, str(files / "client.der")]
        command += [str(files / "client.pem"), str(files / "pki"), "plc", "plc-password", *action]
        return self._line.start_child(f"node{self._starts}", command)

    def _make_files(self) -> None:
        from cmfm_gateway.opcua.own_certificate import OwnFiles, make_certificate
        from cmfm_gateway.opcua.trust_list import TrustList
        from cmfm_gateway.opcua.users import make_user, write_users

        folder = self._gateway.folder
        files = OwnFiles(folder / "client.der", folder / "client.pem")
        TrustList(folder / "opcua").add(make_certificate(files, "urn:test:client", ()))
        write_users(folder / "opcua-users.txt", {"plc": make_user("plc", "control", "plc-password")})


def ledger(line: Line) -> dict[tuple[str, int], tuple[str, str]]:
    """(boot_id, result_id) → stream and seq as text, verdict."""
    connection = sqlite3.connect(line.folder / "ledger.sqlite")
    rows = connection.execute("SELECT boot_id, result_id, stream_uuid, seq, verdict FROM triggers").fetchall()
    connection.close()
    return {(boot, result_id): (f"{stream}/{seq}", verdict) for boot, result_id, stream, seq, verdict in rows}


def keys_in_ledger(line: Line) -> set[tuple[str, int]]:
    """Triggers that have a verdict; some of those that a killed worker gave are there alone."""
    return {(stream, seq) for stream, seq, _, _ in line.ledger()}


def test_every_foreign_client_agrees_with_the_ledger_over_kills(make_line: MakeLine, tmp_path: Path) -> None:
    """200 parts; worker, camera, gateway, broker and each client are killed -9 in turn.

    Modbus and OPC UA have each result once by its number, MQTT at least once by (boot_id, result_id); no verdict
    differs from the ledger's. Only results that a killed worker had not sent may be missing, and the ledger has those.
    """
    parts = write_tiny_parts(tmp_path / "parts")
    line = make_line("ipc")
    line.program = [sys.executable, stub_worker.__file__]
    worker = line.start()
    with Broker(tmp_path / "broker") as broker, Listener(broker, topic="cmfm/#") as listener:
        gateway = GatewayProcess(line, broker)
        node = NodeOpcUa(line, gateway)
        gateway.start()
        line.wait_for(gateway.has_heard_the_worker, worker, 60)
        with MbpollPlc(gateway.modbus_port) as plc:
            events = node.events() if node.is_there else None
            options = ("--rate", str(RATE_HZ), "--loop", "100", "--deadline-ms", "4000", "--limit")
            camera = line.replay(parts, *options, str(PARTS))

            def more(count: int) -> None:
                """Wait for so many further results, or the camera's end."""
                wanted = len(line.received) + count
                line.wait_for(
                    lambda: len(line.received) >= wanted or camera.returncode is not None, worker, 120
                )

            more(20)
            worker.kill()
            line.states.clear()
            worker = line.start()  # while the camera goes on
            more(8)
            camera.kill()
            fired = line.triggers()[:-1]  # the newest may have been recorded and not sent
            second_record = line.folder / "second_camera.jsonl"
            camera = line.replay(
                parts, *options, str(PARTS - len(fired)), "--record", str(second_record)
            )  # a new stream, as after a reboot
            more(8)
            plc.kill()
            more(8)
            gateway.kill()
            more(8)
            gateway.start()
            more(12)
            broker.kill()
            more(8)
            broker.start()
            more(8)
            listener.kill()
            more(5)
            listener.start()
            if events is not None:
                events.kill()
            line.wait_for(lambda: camera.returncode is not None, worker, 60)
            camera.require_success()
            fired += read_triggers(second_record)
            line.wait_for(lambda: {trigger.key for trigger in fired} <= keys_in_ledger(line), worker, 30)
            rows = wait_until_confirmed(gateway, line, worker)
            read_all = node.read_all() if node.is_there else None
            if read_all is not None:
                line.wait_for(lambda: read_all.returncode is not None, worker, 60)
        line.finish(worker)
        published = listener.messages("result")
    assert len({trigger.key for trigger in fired}) == PARTS
    truth = ledger(line)
    by_number = {number: truth[boot, result_id] for number, boot, result_id, _, _ in rows}
    assert sorted(by_number) == list(range(1, len(rows) + 1))
    assert_only_the_killed_worker_kept_any(rows, truth)
    assert plc.problems == []
    assert plc.killed == 1
    assert {number: taken.verdict_on_record for number, taken in plc.taken.items()} == {
        number: VERDICT_NUMBERS[Verdict(verdict)] for number, (_, verdict) in by_number.items()
    }
    assert all(taken.verdict in (0, taken.verdict_on_record) for taken in plc.taken.values())
    by_key = {
        (m["payload"]["boot_id"], m["payload"]["result_id"]): m["payload"]["verdict"] for m in published
    }
    assert by_key == {(boot, result_id): truth[boot, result_id][1] for _, boot, result_id, _, _ in rows}
    if read_all is not None:
        found = {each["number"]: each for each in node.all_results(read_all)}
        assert sorted(found) == sorted(by_number)
        assert {number: each["content"]["Verdict"] for number, each in found.items()} == {
            number: verdict for number, (_, verdict) in by_number.items()
        }


def wait_until_confirmed(
    gateway: GatewayProcess, line: Line, worker: Child
) -> list[tuple[int, str, int, str, int]]:
    """Wait until PLC and broker have confirmed everything that came; returns what the store holds."""

    def confirmed() -> bool:
        rows, cursors = gateway.rows(), gateway.confirmed()
        has_all = {row[3:] for row in rows} >= {item.key for item in line.received[-20:]}
        return has_all and all(cursors.get(name) == rows[-1][0] for name in ("modbus", "mqtt"))

    line.wait_for(confirmed, worker, 90)
    time.sleep(0.5)  # what the broker has is on its way to the listener
    return gateway.rows()


def assert_only_the_killed_worker_kept_any(
    rows: list[tuple[int, str, int, str, int]], truth: dict[tuple[str, int], tuple[str, str]]
) -> None:
    """The ledger has what the gateway has, and besides that only the last results of the boot that was killed."""
    stored = {(boot, result_id) for _, boot, result_id, _, _ in rows}
    assert stored <= set(truth)
    boots = list(dict.fromkeys(boot for _, boot, *_ in rows))
    assert len(boots) == 2
    newest = max(result_id for boot, result_id in stored if boot == boots[0])
    assert all(boot == boots[0] and result_id > newest for boot, result_id in set(truth) - stored)


def test_a_plc_has_every_result_once_over_kills(tmp_path: Path) -> None:
    """The short form of `long_gateway`: gateway and PLC are killed; each result is taken once by its number."""
    found = long_gateway.run(
        tmp_path, ["--results", "300", "--rate-hz", "100", "--kill-s", "2", "--seed", "3"]
    )
    assert found.are_good, found
    assert found.gateway_kills + found.plc_kills >= 2

"""The Modbus server over real sockets: a handshake by mbpoll, malformed requests, limits, TLS, what kills leave."""

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient
from tests.unit.made.certificates import Authority
from tests.unit.made.publishing_line import PublishingLine
from tests.unit.made.running_gateway import gateway_settings, running, until

from cmfm_gateway.errors import InputError, StartupError
from cmfm_gateway.gateway import Gateway
from cmfm_gateway.modbus.adapter import ModbusAdapter
from cmfm_gateway.modbus.registers import BY_NAME, END, OUTPUT, Control, Status
from cmfm_gateway.modbus.requests import RequestHandler
from cmfm_gateway.modbus.server import ModbusServer
from cmfm_gateway.modbus.words import from_words
from cmfm_gateway.settings.modbus import ModbusSection
from cmfm_hmi.errors import PageError
from cmfm_hmi.security.lock import LineLock
from cmfm_hmi.settings.access import AccessSection
from cmfm_protocol.wire.control import AnnounceRequest, DrainRequest, LoadRecipeRequest
from cmfm_protocol.wire.result import Region
from cmfm_protocol.wire.verdict import Verdict
from cmfm_sim.ports import free_ports

BUFFER = Control.BUFFER_RESULTS


@pytest.fixture
def line() -> Iterator[PublishingLine]:
    with PublishingLine() as made:
        yield made


class Plc:
    """A PLC by pymodbus's client: registers by their names."""

    def __init__(self, port: int) -> None:
        self._client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=2, retries=0)

    async def __aenter__(self) -> "Plc":
        assert await self._client.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.close()

    async def get(self, name: str) -> float:
        register = BY_NAME[name]
        reply = await self._client.read_holding_registers(register.address, count=register.kind.words)
        assert not reply.isError()
        return from_words(register.kind, reply.registers, "high_first")

    async def put(self, name: str, value: int) -> None:
        register = BY_NAME[name]
        words = [value >> 16, value & 0xFFFF] if register.kind.words == 2 else [value]
        assert not (await self._client.write_registers(register.address, words)).isError()

    async def status(self) -> Status:
        return Status(int(await self.get("status")))

    async def until_status(self, bit: Status, present: bool = True) -> None:
        for _ in range(400):
            if (bit in await self.status()) is present:
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"{bit!r} never became {present}: {await self.status()!r}")

    async def take(self) -> tuple[int, int]:
        """One handshake; returns number and verdict."""
        await self.until_status(Status.RESULTS_VALID)
        taken = int(await self.get("result.result_number")), int(await self.get("result.verdict"))
        await self.put("control", BUFFER | Control.RESULTS_ACK)
        await self.until_status(Status.RESULTS_VALID, present=False)
        await self.put("control", BUFFER)
        return taken


@asynccontextmanager
async def serving(
    line: PublishingLine, folder: Path, *, gateway: Any = None, **modbus: Any
) -> AsyncIterator[tuple[Gateway, int]]:
    """A gateway with Modbus on a free port, subscribed to the line."""
    port = free_ports(1)[0]
    table = {"enabled": True, "port": port} | modbus
    settings = gateway_settings(line, folder, modbus=table, gateway=gateway or {})
    async with running(settings, [ModbusAdapter(settings.modbus)]) as served:
        line.wait_for_subscriber()
        line.heartbeat()
        await until(lambda: served.view.valid)
        await until(lambda: _listens(port))
        yield served, port


def test_the_page_is_read_only_while_a_plc_owns_the_line(line: PublishingLine, tmp_path: Path) -> None:
    """From the PLC's first control word on, until it sets offline; an operator who takes over drops *ready*.

    A gateway that is gone says nothing, which is read-only too, with a sentence of its own.
    """
    owner, takeover = tmp_path / "owner.json", tmp_path / "takeover.json"
    lock = LineLock(AccessSection(owner=owner, takeover=takeover))
    assert (lock.state, lock.is_read_only) == ("unknown", True)
    with pytest.raises(PageError, match="gateway_silent"):
        lock.require_free()

    async def scenario() -> None:
        files = {"owner": str(owner), "takeover": str(takeover)}
        async with serving(line, tmp_path, gateway=files) as (_, port), Plc(port) as plc:
            await until(lambda: lock.state == "free", 30)
            lock.require_free()
            await plc.put("control", BUFFER)
            await until(lambda: lock.state == "plc", 30)
            with pytest.raises(PageError, match="read_only"):
                lock.require_free()
            line.heartbeat()
            await plc.until_status(Status.ONLINE)
            lock.take_over("anna")
            assert (lock.state, lock.is_read_only) == ("taken", False)
            await plc.until_status(Status.ONLINE, present=False)
            lock.give_back()
            assert lock.is_read_only
            await plc.put("control", Control.SET_OFFLINE)
            await until(lambda: lock.state == "free", 30)
            with pytest.raises(PageError, match="no_takeover"):
                lock.take_over("anna")
            await plc.put("control", BUFFER)
            await until(lambda: lock.state == "plc", 30)
        files = {"owner": str(owner), "takeover": str(takeover)}
        owner.touch()
        async with serving(line, tmp_path, gateway=files) as (_, port), Plc(port) as plc:
            told_ns = owner.stat().st_mtime_ns
            await until(lambda: owner.stat().st_mtime_ns != told_ns, 30)
            assert (
                lock.state == "plc"
            )  # a PLC that has not written to the new gateway yet is no PLC that gave up
            await plc.put("control", Control.SET_OFFLINE)
            await until(lambda: lock.state == "free", 30)

    asyncio.run(scenario())
    long_ago_s = owner.stat().st_mtime - 60
    os.utime(owner, (long_ago_s, long_ago_s))
    assert (lock.state, lock.is_read_only) == ("unknown", True)
    for damaged in ("", "{", "[]", '{"plc": 1}', '{"owner": true}'):
        owner.write_text(damaged)
        assert lock.state == "unknown", damaged


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_result_is_all_in_its_registers(line: PublishingLine, tmp_path: Path) -> None:
    """Every value of the block, as the tables say; without a result numbers are 0 and reals NaN."""

    async def scenario() -> None:
        recipes = {"recipes": {"bagel": 7}, "cameras": ["left", "right"]}
        async with serving(line, tmp_path, **recipes) as (_, port), Plc(port) as plc:
            await plc.put("control", BUFFER)
            assert await plc.get("result.result_number") == 0
            assert str(await plc.get("result.score")) == "nan"
            region = Region((10, 20, 14, 30), 30, 12.5, 2.0, (11, 22), "3d")
            line.publish(
                Verdict.FAIL,
                part_id="tray 4 part 00123",
                recipe="bagel",
                camera="right",
                latency_us=42_400,
                regions=(region,),
                peak_xyz_m=(0.001, -0.002, 0.5),
            )
            await plc.until_status(Status.RESULTS_VALID)
            values = {name: await plc.get(f"result.{name}") for name in EXPECTED}
            assert values == pytest.approx(EXPECTED)

    asyncio.run(scenario())


EXPECTED = {
    "result_number": 1,
    "part_number": 123,
    "trigger_number": 1,
    "camera": 2,
    "verdict": 2,
    "verdict_on_record": 2,
    "reason": 2,
    "recipe_number": 7,
    "flags": 12,
    "latency": 42,
    "region_row": 11.5,
    "region_column": 24.5,
    "region_area": 12.5,
    "peak_x": 1.0,
    "peak_y": -2.0,
    "peak_z": 500.0,
}


def test_verdicts_are_not_valid_when_the_line_is_not(line: PublishingLine, tmp_path: Path) -> None:
    """Silence, a worker that drains, and the PLC's own `set offline` each make a shown PASS a 0, with the reason."""

    async def scenario() -> None:
        async with serving(line, tmp_path) as (_, port), Plc(port) as plc:
            await plc.put("control", BUFFER)
            line.publish()
            await plc.until_status(Status.RESULTS_VALID)
            assert await plc.get("result.verdict") == 1
            await plc.put("control", BUFFER | Control.SET_OFFLINE)
            assert await plc.get("result.verdict") == 0
            assert int(await plc.get("status")) >> 4 & 7 == 1
            await plc.put("control", BUFFER)
            line.phase = "draining"
            line.heartbeat()
            await plc.until_status(Status.ONLINE, present=False)
            assert await plc.get("result.verdict") == 0
            assert await plc.get("result.verdict_on_record") == 1
            assert int(await plc.get("status")) >> 4 & 7 == 4
            line.phase = "ready"
            line.heartbeat()
            await plc.until_status(Status.ONLINE)
            await asyncio.sleep(2.1)
            assert int(await plc.get("status")) >> 4 & 7 == 2
            assert await plc.get("result.verdict") == 0

    asyncio.run(scenario())


def test_an_old_and_a_recovered_result_are_not_valid(line: PublishingLine, tmp_path: Path) -> None:
    """They are handed over for the record, with verdict 0 and the flag that says why."""

    async def scenario() -> None:
        async with serving(line, tmp_path, max_age_s=0.3) as (_, port), Plc(port) as plc:
            await plc.put("control", BUFFER)
            line.publish(lost=True)
            line.publish()
            line.heartbeat()
            await plc.until_status(Status.RESULTS_VALID)
            assert await plc.get("result.verdict") == 0
            assert int(await plc.get("result.flags")) & 1
            assert await plc.get("result.verdict_on_record") == 1
            await asyncio.sleep(0.4)
            number, verdict = await plc.take()
            assert (number, verdict) == (1, 0)
            await plc.until_status(Status.RESULTS_VALID)
            assert await plc.get("result.verdict") == 0
            assert int(await plc.get("result.flags")) & 3 == 2

    asyncio.run(scenario())


def test_a_result_of_the_worker_before_is_not_valid(line: PublishingLine, tmp_path: Path) -> None:
    """A PASS that was shown when the worker was restarted becomes a 0, also once the new worker is ready."""

    async def scenario() -> None:
        async with serving(line, tmp_path) as (gateway, port), Plc(port) as plc:
            await plc.put("control", BUFFER)
            line.publish()
            await plc.until_status(Status.RESULTS_VALID)
            assert await plc.get("result.verdict") == 1
            line.restart("boot2")
            line.heartbeat()
            await until(lambda: gateway.view.state and gateway.view.state.boot_id == "boot2")
            assert Status.ONLINE in await plc.status()
            assert (await plc.get("result.verdict"), await plc.get("result.verdict_on_record")) == (0, 1)
            assert int(await plc.get("result.flags")) & 1

    asyncio.run(scenario())


def test_acknowledged_is_durable_and_the_rest_comes_after_a_restart(
    line: PublishingLine, tmp_path: Path
) -> None:
    """A gateway that is stopped between two acknowledges goes on with the next number, and skips none."""

    async def take_two() -> list[int]:
        async with serving(line, tmp_path) as (gateway, port), Plc(port) as plc:
            await plc.put("control", BUFFER)
            for _ in range(3):
                line.publish()
            await until(lambda: gateway.store.newest() % 3 == 0 and gateway.store.newest())
            return [(await plc.take())[0] for _ in range(2)]

    assert asyncio.run(take_two()) == [1, 2]
    assert asyncio.run(take_two()) == [3, 4]


def test_parts_are_found_by_number_and_at_the_gate(line: PublishingLine, tmp_path: Path) -> None:
    """`not yet` is result number 0; by position the PLC's count of triggers less the parts in between."""
    stream = "stream of boot1"

    async def scenario() -> None:
        line.streams = {"camera1": stream}
        async with serving(line, tmp_path, gate_parts=2) as (_, port), Plc(port) as plc:
            await plc.put("part_wanted", 2)
            assert await plc.get("part.result_number") == 0
            for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.PASS):
                line.publish(verdict, camera="camera1")
            for _ in range(200):
                if await plc.get("part.result_number"):
                    break
                await asyncio.sleep(0.01)
            assert (await plc.get("part.result_number"), await plc.get("part.verdict")) == (2, 2)
            await plc.put("gate_trigger", 3)
            assert (await plc.get("gate.result_number"), await plc.get("gate.verdict")) == (1, 1)
            await plc.put("gate_trigger", 4)
            assert (await plc.get("gate.result_number"), await plc.get("gate.verdict")) == (2, 2)
            await plc.put("gate_trigger", 7)
            assert (await plc.get("gate.result_number"), await plc.get("gate.verdict")) == (0, 0)

    asyncio.run(scenario())


def test_the_gate_follows_the_encoder(line: PublishingLine, tmp_path: Path) -> None:
    """Triggers are announced with their encoder count; also over the end of the 32-bit counter."""

    async def scenario() -> None:
        line.streams = {"camera1": "stream of boot1"}
        settings = {"gate": "encoder", "gate_counts": 1000, "gate_tolerance": 20}
        async with serving(line, tmp_path, **settings) as (_, port), Plc(port) as plc:
            ready = Control.TRIGGER_ENABLE
            await plc.put("control", ready)
            for encoder in (2**31 - 500, 2**31 - 400):
                await plc.put("encoder_argument", encoder)
                await plc.put("control", ready | Control.TRIGGER)
                await plc.until_status(Status.TRIGGER_READY)
                await plc.put("control", ready)
            for verdict in (Verdict.PASS, Verdict.FAIL):
                line.publish(verdict, camera="camera1")
            await until(
                lambda: len([each for each in line.requests if isinstance(each, AnnounceRequest)]) == 2
            )
            await plc.put("gate_encoder", (2**31 - 500 + 1010) % 2**32)
            await asyncio.sleep(0.1)
            assert (await plc.get("gate.trigger_number"), await plc.get("gate.verdict")) == (1, 1)
            await plc.put("gate_encoder", (2**31 - 400 + 990) % 2**32)
            assert (await plc.get("gate.trigger_number"), await plc.get("gate.verdict")) == (2, 2)
            await plc.put("gate_encoder", (2**31 - 450 + 1000) % 2**32)
            assert await plc.get("gate.verdict") == 0

    asyncio.run(scenario())


def test_commands_reach_the_worker(line: PublishingLine, tmp_path: Path) -> None:
    """Recipes by number, triggers with their arguments, reset and drain; what fails says why."""

    async def scenario() -> None:
        async with serving(line, tmp_path, recipes={"praline": 3}) as (gateway, port), Plc(port) as plc:

            async def execute(command: int) -> tuple[bool, int]:
                await plc.put("command", command)
                await plc.put("control", Control.EXECUTE_COMMAND)
                await plc.until_status(Status.COMMAND_EXECUTING, present=False)
                done = Status.COMMAND_COMPLETED in await plc.status()
                await plc.put("control", 0)
                return done, int(await plc.get("error"))

            await plc.put("recipe_argument", 3)
            assert await execute(1) == (True, 0)
            assert await plc.get("recipe") == 3
            await plc.put("recipe_argument", 4)
            assert await execute(1) == (False, 2)
            await plc.put("recipe_argument", 0)
            for name, value in (("part_argument", 77), ("trigger_argument", 12), ("deadline_argument", 250)):
                await plc.put(name, value)
            assert await execute(2) == (True, 0)
            await plc.put("camera_argument", 9)
            assert await execute(2) == (False, 3)
            assert await execute(99) == (False, 1)
            line.refuse = "no"
            await plc.put("camera_argument", 1)
            assert await execute(2) == (False, 4)
            line.refuse = ""
            assert await execute(3) == (True, 0)
            assert await execute(4) == (True, 0)
            assert gateway.counts["modbus", "commands_failed"] == 4

    asyncio.run(scenario())
    assert [each.recipe for each in line.requests if isinstance(each, LoadRecipeRequest)] == ["praline"]
    trigger = next(each.trigger for each in line.requests if isinstance(each, AnnounceRequest))
    assert (trigger.seq, trigger.part_id, trigger.recipe, trigger.deadline_ms) == (11, "77", "praline", 250.0)
    assert [each for each in line.requests if isinstance(each, DrainRequest)]


def request(pdu: bytes, *, protocol: int = 0, length: int | None = None) -> bytes:
    return struct.pack(">HHHB", 7, protocol, len(pdu) + 1 if length is None else length, 1) + pdu


EXCEPTIONS = {
    "unknown function": (b"\x63\x00", b"\xe3\x01"),
    "coils": (b"\x01\x00\x00\x00\x01", b"\x81\x01"),
    "beyond the table": (b"\x03" + struct.pack(">HH", END - 1, 2), b"\x83\x02"),
    "no register": (b"\x03" + struct.pack(">HH", 0, 0), b"\x83\x03"),
    "too many registers": (b"\x03" + struct.pack(">HH", 0, 126), b"\x83\x03"),
    "cut short": (b"\x03\x00", b"\x83\x03"),
    "writing an output": (b"\x06" + struct.pack(">HH", BY_NAME["status"].address, 1), b"\x86\x02"),
    "writing over the end of control": (b"\x10" + struct.pack(">HHB", 23, 4, 8) + bytes(8), b"\x90\x02"),
    "a byte count that is wrong": (b"\x10" + struct.pack(">HHB", 0, 2, 2) + bytes(2), b"\x90\x03"),
    "an exception as a request": (b"\x83\x02", b"\x83\x01"),
}


def test_bad_requests_get_their_exception_and_the_others_go_on(line: PublishingLine, tmp_path: Path) -> None:
    """Each is answered by the exception of the standard on a connection that stays; several fit into one segment."""

    async def scenario() -> None:
        async with serving(line, tmp_path) as (gateway, port), Plc(port) as plc:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"".join(request(pdu) for pdu, _ in EXCEPTIONS.values()))
            for name, (_, reply) in EXCEPTIONS.items():
                answer = await asyncio.wait_for(reader.readexactly(9), 2)
                assert answer[7:] == reply, name
            assert gateway.counts["modbus", "illegal_function"] == 3
            writer.write(request(b"\x03\x00\x00\x00\x01"))
            assert (await asyncio.wait_for(reader.readexactly(11), 2))[7:] == b"\x03\x02\x00\x00"
            writer.write(request(b"\x03\x00\x00\x00\x01", protocol=1))
            assert await asyncio.wait_for(reader.read(), 2) == b""  # where the next one begins is not known
            assert gateway.counts["modbus", "malformed"] == 1
            assert await plc.get("map_version") == 1
            writer.close()

    asyncio.run(scenario())


def test_a_thousand_connections_do_not_keep_the_plc_out(line: PublishingLine, tmp_path: Path) -> None:
    """Idle ones give way, and the PLC that asks stays connected."""

    async def scenario() -> None:
        async with serving(line, tmp_path, connections=8) as (gateway, port), Plc(port) as plc:
            assert await plc.get("map_version") == 1
            idle = []
            for number in range(1000):
                idle.append(await asyncio.open_connection("127.0.0.1", port))
                if number % 100 == 0:
                    assert await plc.get("map_version") == 1
            await until(lambda: gateway.counts["modbus", "connection_displaced"] >= 990)
            assert await plc.get("map_version") == 1
            for _, writer in idle:
                writer.transport.abort()

    asyncio.run(scenario())


def test_a_client_that_never_reads_is_disconnected(
    line: PublishingLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds up nobody, and its replies are not kept for ever."""
    monkeypatch.setattr("cmfm_gateway.modbus.server.UNREAD_LIMIT_S", 0.3)

    async def scenario() -> None:
        async with serving(line, tmp_path) as (gateway, port), Plc(port) as plc:
            with socket.socket() as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.connect(("127.0.0.1", port))
                deaf.setblocking(False)
                question = request(b"\x03\x00\x00\x00\x7d") * 100
                loop = asyncio.get_running_loop()
                end_s = loop.time() + 10
                while not gateway.counts["modbus", "client_too_slow"]:
                    assert loop.time() < end_s
                    try:
                        deaf.send(question)
                    except BlockingIOError:
                        pass
                    except OSError:
                        break
                    assert await plc.get("map_version") == 1
            await until(lambda: gateway.counts["modbus", "client_too_slow"] == 1)

    asyncio.run(scenario())


def test_only_listed_clients_may_connect(line: PublishingLine, tmp_path: Path) -> None:
    """Another address is turned away and counted."""

    async def scenario() -> None:
        async with serving(line, tmp_path, clients=["192.0.2.1"]) as (gateway, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 2) == b""
            writer.close()
            assert gateway.counts["modbus", "client_refused"] >= 1

    asyncio.run(scenario())


def test_a_port_that_is_taken_is_said(line: PublishingLine, tmp_path: Path) -> None:
    """The message names host and port."""

    async def scenario() -> None:
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            holder.listen()
            port = holder.getsockname()[1]
            settings = gateway_settings(line, tmp_path, modbus={"enabled": True, "port": port})
            with pytest.raises(StartupError, match=rf"modbus: cannot listen on 127.0.0.1:{port}"):
                await Gateway(settings).run([ModbusAdapter(settings.modbus)])

    asyncio.run(scenario())


def mbpoll(*arguments: str) -> str:
    """Run Debian's mbpoll once against holding registers and return what it prints."""
    program = shutil.which("mbpoll")
    if program is None:
        assert os.environ.get("CMFM_FOREIGN_CLIENTS") != "required", "mbpoll is not installed"
        pytest.skip("needs mbpoll")
    command = [program, "-m", "tcp", "-q", "-1", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_mbpoll_reads_results_in_a_handshake(line: PublishingLine, tmp_path: Path) -> None:
    """A client that knows nothing of us, by the addresses that `symbols` prints (counted from 1)."""

    async def scenario() -> None:
        async with serving(line, tmp_path) as (_, port):

            async def poll(*arguments: str) -> str:
                return await asyncio.to_thread(mbpoll, "-p", str(port), *arguments)

            async def words(name: str, kind: str) -> str:
                address = str(BY_NAME[name].address + 1)
                out = await poll("-r", address, "-c", "1", "-t", kind, "-B", "127.0.0.1")
                return out.split(":")[-1].strip()

            control = str(BY_NAME["control"].address + 1)
            await poll("-r", control, "-t", "4", "127.0.0.1", "4")
            for verdict in (Verdict.PASS, Verdict.FAIL):
                line.publish(verdict)
            taken = []
            for _ in range(2):
                while not int((await words("status", "4")).split()[0]) & Status.RESULTS_VALID:
                    pass
                number = await words("result.result_number", "4:int")
                score = float(await words("result.score", "4:float"))
                verdict_code = await words("result.verdict", "4")
                taken.append((number, verdict_code, round(score, 3)))
                await poll("-r", control, "-t", "4", "127.0.0.1", "12")
                await poll("-r", control, "-t", "4", "127.0.0.1", "4")
            assert [each[:2] for each in taken] == [("1", "1"), ("2", "2")]
            assert not int((await words("status", "4")).split()[0]) & Status.RESULTS_VALID

    asyncio.run(scenario())


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, and a certificate and key for server, plc and stranger (of no authority)."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority("line authority")
    (folder / "ca.pem").write_bytes(authority.pem)
    for name, issuer in (("server", authority), ("plc", authority), ("stranger", Authority("another"))):
        certificate, key = issuer.issue(name)
        (folder / f"{name}.pem").write_bytes(certificate)
        (folder / f"{name}.key").write_bytes(key)
    return folder


def tls_client(folder: Path, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.check_hostname = False
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


def test_tls_admits_plcs_of_the_authority_alone(
    line: PublishingLine, tmp_path: Path, certificates: Path
) -> None:
    """With a certificate nothing but TLS is answered; a stranger's certificate is refused, and the PLC goes on."""
    files = {"certificate": "server.pem", "private_key": "server.key", "client_ca": "ca.pem"}

    async def ask(port: int, context: ssl.SSLContext | None) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(request(b"\x03\x00\x68\x00\x01"))
        try:
            return await asyncio.wait_for(reader.read(11), 2)
        finally:
            writer.transport.abort()

    async def scenario() -> None:
        paths = {key: str(certificates / name) for key, name in files.items()}
        async with serving(line, tmp_path, **paths) as (_, port):
            plc = tls_client(certificates, "plc")
            assert (await ask(port, plc))[7:] == b"\x03\x02\x00\x01"
            for other in (tls_client(certificates, "stranger"), None):
                with contextlib.suppress(ssl.SSLError, ConnectionError):
                    assert b"\x03\x02\x00\x01" not in await ask(port, other)
            assert (await ask(port, plc))[7:] == b"\x03\x02\x00\x01"

    asyncio.run(scenario())


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Before anything is started: `check` says so too."""
    section = ModbusSection(enabled=True, certificate=tmp_path / "no.pem", private_key=tmp_path / "no.key")
    with pytest.raises(InputError, match=r"no\.pem"):
        ModbusAdapter(section)


class PlcRegisters:
    """A PLC's own registers, for the gateway as client."""

    def __init__(self) -> None:
        self.words = [0] * 1000

    def read(self, address: int, count: int) -> list[int] | None:
        return self.words[address : address + count]

    def write(self, address: int, values: list[int]) -> bool:
        self.words[address : address + len(values)] = values
        return True

    def get(self, name: str, base: int) -> int:
        register = BY_NAME[name]
        at = base + register.address - OUTPUT
        return int(from_words(register.kind, self.words[at : at + register.kind.words], "high_first"))


def test_the_gateway_writes_into_a_plc(line: PublishingLine, tmp_path: Path) -> None:
    """Role client: the same handshake in the PLC's registers, and it goes on when the PLC comes back."""

    async def scenario() -> None:
        plc, port = PlcRegisters(), free_ports(1)[0]
        server = ModbusServer(ModbusSection(port=port), None, RequestHandler(plc), lambda _: None)
        client = {
            "enabled": True,
            "role": "client",
            "port": port,
            "client_control": 500,
            "client_output": 100,
        }
        settings = gateway_settings(line, tmp_path, modbus=client)
        async with running(settings, [ModbusAdapter(settings.modbus)]) as gateway:
            line.wait_for_subscriber()
            line.heartbeat()
            await until(lambda: gateway.counts["modbus", "failed"])  # nobody is there yet
            async with server.listening():
                plc.words[500] = BUFFER
                line.publish(Verdict.FAIL)
                line.publish()
                for number, verdict in ((1, 2), (2, 1)):
                    await until(lambda: plc.get("status", 100) & Status.RESULTS_VALID)
                    assert plc.get("result.result_number", 100) == number
                    assert plc.get("result.verdict", 100) == verdict
                    plc.words[500] = BUFFER | Control.RESULTS_ACK
                    await until(lambda: not plc.get("status", 100) & Status.RESULTS_VALID)
                    plc.words[500] = BUFFER
                assert gateway.store.cursor("modbus") == 2

    asyncio.run(scenario())

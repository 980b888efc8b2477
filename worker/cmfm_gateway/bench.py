"""Measures how long a verdict takes from the worker's socket to a register that a client reads.

`python -m cmfm_gateway.bench` publishes results at a line's rate, runs `cmfm-gateway` as a process of its own and polls
its registers as a PLC does. The time of a result runs from just before its message is sent to the end of the read that
shows it; half a poll on average is the poll itself.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
import zmq
from pymodbus.client import AsyncModbusTcpClient

from cmfm_gateway.modbus.registers import BY_NAME
from cmfm_gateway.modbus.words import from_words
from cmfm_protocol.wire.result import Result, encode_result
from cmfm_protocol.wire.state import COUNTS, WorkerState, encode_worker_state
from cmfm_protocol.wire.topics import topic
from cmfm_protocol.wire.verdict import Reason, Verdict

RESULT_TOPIC: Final = topic("line1", "station1", "result")
STATE_TOPIC: Final = topic("line1", "station1", "state")
STATE_S: Final = 0.5
RECIPE: Final = "praline"
START_LIMIT_S: Final = 30.0
SHARES: Final = (50, 90, 99)
"""Percentiles that are printed, in %."""

LOST_S: Final = 1.0
"""A result that no read shows within this time counts as lost."""


class Publisher:
    """The results socket of a worker: results and heartbeats, nothing else."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.bind("tcp://127.0.0.1:*")
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._boot_id, self.sent = uuid.uuid4().hex, 0
        self._state_s = 0.0

    def wait_for_subscriber(self) -> None:
        """Wait until the gateway has subscribed. Raises SystemExit if it does not."""
        if not self._socket.poll(int(START_LIMIT_S * 1000)):
            raise SystemExit("the gateway did not subscribe")
        self._socket.recv()

    def result(self) -> float:
        """Publish the next result; returns when, on the monotonic clock."""
        message = encode_result(RESULT_TOPIC, self._made(self.sent))
        sent_s = time.monotonic()
        self._socket.send_multipart(message)
        self.sent += 1
        return sent_s

    def heartbeat(self) -> None:
        """Publish the worker's state if it is time to."""
        if time.monotonic() - self._state_s < STATE_S:
            return
        self._state_s = time.monotonic()
        counts = dict.fromkeys(COUNTS, 0) | {"triggers": self.sent, "pass": self.sent}
        state = WorkerState(
            self._boot_id, "ready", 1.0, counts, {}, (), 4, 0, (RECIPE,), "cpu", time.time_ns()
        )
        self._socket.send_multipart(encode_worker_state(STATE_TOPIC, state))

    def close(self) -> None:
        """Close the socket."""
        self._context.destroy(0)

    def _made(self, seq: int) -> Result:
        now_ns = time.time_ns()
        return Result(
            result_id=seq + 1,
            boot_id=self._boot_id,
            stream_uuid=self._boot_id,
            seq=seq,
            part_id=f"part-{seq:06d}",
            verdict=Verdict.PASS,
            reason=Reason.BELOW_THRESHOLD,
            detail="",
            score=0.5,
            threshold=1.0,
            recipe=RECIPE,
            model_sha="0" * 64,
            calib_id="",
            trigger_ns=now_ns,
            received_ns=now_ns,
            done_ns=now_ns,
            latency_us=1,
            deadline_met=True,
            simulated=True,
            queue_free=4,
            drops_total=0,
            coverage=1.0,
            peak_px=None,
            peak_xyz_m=None,
            regions=(),
            map_ref="",
        )


@contextmanager
def running_gateway(folder: Path, adapter: str) -> Iterator[Publisher]:
    """Run `cmfm-gateway` in a process of its own, in `folder`, with the settings of one adapter (TOML).

    Gives a publisher that the gateway has subscribed to.
    """
    publisher, config = Publisher(), folder / "gateway.toml"
    config.write_text(f'[worker]\nresults = "{publisher.endpoint}"\n{adapter}[log]\nlevel = "warning"\n')
    gateway = subprocess.Popen([sys.executable, "-m", "cmfm_gateway.app", "--config", str(config)])
    try:
        publisher.wait_for_subscriber()
        publisher.heartbeat()
        yield publisher
    finally:
        gateway.terminate()
        gateway.wait()
        publisher.close()


def print_times(where: str, times_s: Sequence[float], rate_hz: float) -> None:
    """Print percentiles of the seconds from a verdict on ZeroMQ to `where`."""
    ordered = sorted(times_s)
    figures = {f"p{share}": percentile(ordered, share / 100) for share in SHARES} | {"most": ordered[-1]}
    shown = ", ".join(f"{name} {value * 1000:.2f} ms" for name, value in figures.items())
    sys.stdout.write(
        f"verdict on ZeroMQ to {where}, {len(ordered)} results at {rate_hz:g} a second: {shown}\n"
    )


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of the sorted values lie."""
    return values[min(int(share * len(values)), len(values) - 1)]


async def measure(publisher: Publisher, port: int, parts: int, rate_hz: float) -> list[float]:
    """Return the seconds of each result, in order of publication. A lost one raises SystemExit."""
    register = BY_NAME["newest_number"]
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=2)
    if not await client.connect():
        raise SystemExit("the gateway does not answer")

    async def newest() -> int:
        reply = await client.read_holding_registers(register.address, count=register.kind.words)
        return int(from_words(register.kind, reply.registers, "high_first"))

    times_s = []
    next_s = time.monotonic()
    for number in range(1, parts + 1):
        while time.monotonic() < next_s:
            publisher.heartbeat()
            await asyncio.sleep(0.005)
        next_s += 1 / rate_hz
        sent_s = publisher.result()
        while await newest() < number:
            if time.monotonic() - sent_s > LOST_S:
                raise SystemExit(f"result {number} did not come")
        times_s.append(time.monotonic() - sent_s)
    client.close()
    return times_s


def bench(
    parts: Annotated[int, typer.Option(min=10, help="Results to publish.")] = 1_000,
    rate_hz: Annotated[float, typer.Option(min=1, help="Results a second.")] = 20.0,
    port: Annotated[int, typer.Option(min=1024, max=65535, help="Free TCP port for the gateway.")] = 15_502,
) -> None:
    """Measure the time from a verdict on ZeroMQ to a register that a client has read."""
    with tempfile.TemporaryDirectory() as folder:
        section = f"[modbus]\nenabled = true\nport = {port}\n"
        with running_gateway(Path(folder), section) as publisher:
            time.sleep(0.5)
            times_s = asyncio.run(measure(publisher, port, parts, rate_hz))
    print_times("register read", times_s, rate_hz)


if __name__ == "__main__":
    typer.run(bench)

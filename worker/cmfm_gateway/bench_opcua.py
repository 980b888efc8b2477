"""Measures how long a verdict takes from the worker's socket to a ResultReady event at an OPC UA client.

`python -m cmfm_gateway.bench_opcua` publishes results at a line's rate and runs `cmfm-gateway` as a process of its own.
The client is encrypted and asks for the shortest publishing interval, 10 ms. It shares its process with the publisher.
"""

import asyncio
import socket
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyAes256Sha256RsaPss

from cmfm_gateway.bench import START_LIMIT_S, Publisher, print_times, running_gateway
from cmfm_gateway.opcua.model.tables import TYPE_IDS
from cmfm_gateway.opcua.own_certificate import OwnFiles, make_certificate
from cmfm_gateway.opcua.serving.limits import MIN_PUBLISHING_MS
from cmfm_gateway.opcua.structures import register_structures
from cmfm_gateway.opcua.trust_list import TrustList
from cmfm_gateway.opcua.users import make_user, write_users

URI: Final = "urn:cmfm:bench"
USER: Final = "bench"
COMPANION: Final = 2
SETTLE_S: Final = 2.0


class Arrivals:
    """When the event of each result came, on the monotonic clock."""

    def __init__(self) -> None:
        self.at_s: dict[int, float] = {}

    def event_notification(self, event: Any) -> None:
        """Note an event; called by the library."""
        self.at_s[int(event.ResultId.Id)] = time.monotonic()


async def measure(url: str, files: OwnFiles, publisher: Publisher, parts: int, rate_hz: float) -> list[float]:
    """Return the seconds to the event of each result. A lost one raises SystemExit."""
    arrivals, sent_s = Arrivals(), {}
    async with await _connected(url, files) as client:
        register_structures(COMPANION)
        subscription = await client.create_subscription(MIN_PUBLISHING_MS, arrivals)
        event_type = client.get_node(ua.NodeId(TYPE_IDS["ResultReadyEventType"], COMPANION))
        await subscription.subscribe_events(client.nodes.server, event_type, queuesize=1000)
        next_s = time.monotonic()
        for number in range(1, parts + 1):
            publisher.heartbeat()
            await asyncio.sleep(max(next_s - time.monotonic(), 0))
            next_s += 1 / rate_hz
            sent_s[number] = publisher.result()
        await asyncio.sleep(SETTLE_S)
    if missing := set(sent_s) - set(arrivals.at_s):
        raise SystemExit(f"{len(missing)} results did not come, the first is {min(missing)}")
    return [arrivals.at_s[number] - at_s for number, at_s in sent_s.items()]


async def _connected(url: str, files: OwnFiles) -> Client:
    """Return a client that is ready to connect, once the gateway listens."""
    end_s = time.monotonic() + START_LIMIT_S
    host, port = url.removeprefix("opc.tcp://").split("/")[0].split(":")
    while time.monotonic() < end_s:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            break
        except OSError:
            await asyncio.sleep(0.1)
    client = Client(url)
    client.application_uri = URI
    mode = ua.MessageSecurityMode.SignAndEncrypt
    await client.set_security(SecurityPolicyAes256Sha256RsaPss, files.certificate, files.key, mode=mode)
    client.set_user(USER)
    client.set_password(URI)
    return client


def bench(
    parts: Annotated[int, typer.Option(min=10, help="Results to publish.")] = 1_000,
    rate_hz: Annotated[float, typer.Option(min=1, help="Results a second.")] = 20.0,
) -> None:
    """Measure the time from a verdict on ZeroMQ to the event at an OPC UA client."""
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        probe.close()
        folder = Path(name)
        files = OwnFiles(folder / "client.der", folder / "client.pem")
        TrustList(folder / "opcua").add(make_certificate(files, URI, ()))
        write_users(folder / "opcua-users.txt", {USER: make_user(USER, "view", URI)})
        with running_gateway(folder, f"[opcua]\nenabled = true\nport = {port}\n") as publisher:
            url = f"opc.tcp://127.0.0.1:{port}/cmfm"
            times_s = asyncio.run(measure(url, files, publisher, parts, rate_hz))
    print_times("OPC UA event", times_s, rate_hz)


if __name__ == "__main__":
    typer.run(bench)

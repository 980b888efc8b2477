"""A gateway process with its OPC UA server over a made line, and a client that keeps a record by result number."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli_w
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from tests.unit.made.publishing_line import PublishingLine

from cmfm_gateway.opcua import structures
from cmfm_gateway.opcua.own_certificate import OwnFiles, make_certificate
from cmfm_gateway.opcua.trust_list import TrustList
from cmfm_gateway.opcua.users import make_user, write_users
from cmfm_sim.ports import free_ports
from cmfm_sim.processes import Child, program

CLIENT_URI = "urn:test:client"
COMPANION = 2
PUBLISHING_MS = 10
PASSWORD = "viewer-password"  # noqa: S105  (of a made user)


class OpcUaGateway:
    """The process, started again after each kill on the same store, certificates and port."""

    def __init__(self, folder: Path, line: PublishingLine) -> None:
        (self.port,) = free_ports(1)
        self.files = OwnFiles(folder / "client.der", folder / "client.pem")
        TrustList(folder / "opcua").add(make_certificate(self.files, CLIENT_URI, ()))
        write_users(folder / "opcua-users.txt", {"viewer": make_user("viewer", "view", PASSWORD)})
        self._config = folder / "gateway.toml"
        settings: dict[str, Any] = {
            "worker": line.worker_section,
            "opcua": {"enabled": True, "port": self.port},
        }
        self._config.write_text(tomli_w.dumps(settings))
        self._starts = 0
        self._child: Child | None = None

    def start(self) -> None:
        """Start the process."""
        self._starts += 1
        name = f"gateway{self._starts}"
        self._child = Child(
            name,
            [*program("cmfm-gateway"), "--config", str(self._config)],
            self._config.parent / f"{name}.log",
        )

    def kill(self) -> None:
        """Kill it (-9)."""
        assert self._child is not None
        self._child.kill()

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Connect a client; as often as it takes."""
        while True:
            client = Client(f"opc.tcp://127.0.0.1:{self.port}/cmfm", timeout=5)
            client.application_uri = CLIENT_URI
            with contextlib.suppress(OSError, TimeoutError, ua.UaError):
                await client.set_security(
                    SecurityPolicyBasic256Sha256,
                    self.files.certificate,
                    self.files.key,
                    mode=ua.MessageSecurityMode.SignAndEncrypt,
                )
                client.set_user("viewer")
                client.set_password(PASSWORD)
                await client.connect()
                break
            client.disconnect_socket()
            await asyncio.sleep(0.1)
        structures.register_structures(COMPANION)
        try:
            yield client
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(client.disconnect(), 2)


class Record:
    """Results by number: those that came as events, and those that were asked for. `came_ns`: when, by part."""

    def __init__(self) -> None:
        self.parts: dict[int, str] = {}
        self.verdicts: dict[int, str] = {}
        self.came_ns: dict[str, int] = {}
        self.contradictions = 0

    def event_notification(self, event: Any) -> None:
        """Note a ResultReady event; called by the library."""
        self.came_ns[event.PartId.Id] = time.time_ns()
        self._note(int(event.ResultId.Id), event.PartId.Id, event.ResultContent)

    def _note(self, number: int, part: str, content: list[Any]) -> None:
        verdict = next(pair.Value.Value.Value for pair in content if pair.Value.Key.Name == "Verdict")
        if (
            self.parts.setdefault(number, part) != part
            or self.verdicts.setdefault(number, verdict) != verdict
        ):
            self.contradictions += 1

    async def subscribe(self, client: Client) -> None:
        """Take events from now on."""
        subscription = await client.create_subscription(PUBLISHING_MS, self)
        event_type = client.get_node(ua.NodeId(1024, COMPANION))
        await subscription.subscribe_events(client.nodes.server, event_type, queuesize=1000)

    async def catch_up(self, client: Client) -> None:
        """Ask for every result above the last number up to which nothing is missing."""
        complete, last = False, self.whole
        while not complete:
            complete, _, _, page, _ = await list_after(client, last)
            for result in page:
                last = int(result.ResultId.Id)
                self._note(last, result.PartId.Id, result.ResultContent)

    @property
    def whole(self) -> int:
        """The number up to which the record has every result."""
        number = 0
        while number + 1 in self.parts:
            number += 1
        return number


async def list_after(client: Client, number: int) -> Any:
    """GetResultListFiltered for the results after a number."""
    management = client.get_node("ns=3;s=VisionSystem.ResultManagement")
    zero = ua.Variant(0, ua.VariantType.Int32)
    return await management.call_method(
        f"{COMPANION}:GetResultListFiltered",
        zero,
        structures.MeasIdDataType(),
        structures.PartIdDataType(),
        structures.RecipeIdExternalDataType(),
        structures.RecipeIdInternalDataType(),
        structures.ConfigurationIdDataType(),
        structures.ConfigurationIdDataType(),
        structures.ProductIdDataType(),
        structures.JobIdDataType(),
        ua.Variant(0, ua.VariantType.UInt32),
        ua.Variant(number, ua.VariantType.UInt32),
        zero,
    )


@contextmanager
def opcua_gateway(folder: Path) -> Iterator[tuple[OpcUaGateway, PublishingLine]]:
    """Run a line and a gateway for the block."""
    with PublishingLine() as line:
        gateway = OpcUaGateway(folder, line)
        gateway.start()
        try:
            line.wait_for_subscriber()
            yield gateway, line
        finally:
            gateway.kill()

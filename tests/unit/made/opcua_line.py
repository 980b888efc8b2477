"""A gateway with its OPC UA server over a made line, and clients with certificates of their own."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyAes256Sha256RsaPss
from tests.unit.made.publishing_line import PublishingLine
from tests.unit.made.running_gateway import gateway_settings, running
from tests.unit.made.running_gateway import until as until_soon

from cmfm_gateway.gateway import Gateway
from cmfm_gateway.opcua.adapter import OpcUaAdapter
from cmfm_gateway.opcua.own_certificate import OwnFiles, make_certificate
from cmfm_gateway.opcua.trust_list import TrustList
from cmfm_gateway.opcua.users import make_user, write_users

PASSWORDS: Final = {"plc": "plc-password", "viewer": "viewer-password"}

CLIENT_URI: Final = "urn:test:client"


@dataclass
class OpcUaLine:
    """A running gateway: how its server is reached, and the folder of its files."""

    gateway: Gateway
    line: PublishingLine
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/cmfm"

    @property
    def trust_list(self) -> TrustList:
        return TrustList(self.folder / "opcua")

    def refused(self, cause: str) -> int:
        return self.gateway.counts["opcua", f"refused_{cause}"]

    def client_files(self, name: str = "client", *, trusted: bool = True, uri: str = CLIENT_URI) -> OwnFiles:
        files = OwnFiles(self.folder / f"{name}.der", self.folder / f"{name}.pem")
        if not files.certificate.exists():
            certificate = make_certificate(files, uri, ())
            if trusted:
                self.trust_list.add(certificate)
        return files

    async def new_client(
        self, user: str = "plc", password: str = "", *, files: OwnFiles | None = None, timeout_s: float = 30.0
    ) -> Client:
        """A client that is ready to connect. user "": nobody."""
        client = Client(self.url, timeout=timeout_s)
        client.application_uri = CLIENT_URI
        files = files or self.client_files()
        await client.set_security(
            SecurityPolicyAes256Sha256RsaPss,
            files.certificate,
            files.key,
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )
        if user:
            client.set_user(user)
            client.set_password(password or PASSWORDS[user])
        return client

    @contextlib.asynccontextmanager
    async def client(self, user: str = "plc", **options: Any) -> AsyncIterator[Client]:
        client = await self.new_client(user, **options)
        async with client:
            yield client

    async def ready(self) -> None:
        """Make the line valid."""
        self.line.heartbeat()
        await until(lambda: self.gateway.view.valid)


@contextlib.asynccontextmanager
async def opcua_line(
    folder: Path,
    line: PublishingLine,
    *,
    silence_s: float = 600.0,
    port: int = 0,
    section: dict[str, Any] | None = None,
    gateway_section: dict[str, Any] | None = None,
) -> AsyncIterator[OpcUaLine]:
    """Run a gateway with the users `plc` (control) and `viewer` (view)."""
    port = port or free_port()
    users = {
        "plc": make_user("plc", "control", PASSWORDS["plc"]),
        "viewer": make_user("viewer", "view", PASSWORDS["viewer"]),
    }
    write_users(folder / "users", users)
    opcua = {
        "enabled": True,
        "port": port,
        "certificates": str(folder / "opcua"),
        "users": str(folder / "users"),
        "jobs": str(folder / "jobs"),
        **(section or {}),
    }
    settings = gateway_settings(
        line, folder, opcua=opcua, gateway=gateway_section or {}, worker={"silence_s": silence_s}
    )
    async with running(settings, [OpcUaAdapter(settings.opcua)]) as gateway:
        made = OpcUaLine(gateway, line, folder, port)
        line.wait_for_subscriber()
        await _listening(port)
        yield made


async def until(condition: Callable[[], object], limit_s: float = 30.0) -> None:
    """Wait until a condition holds; longer than other tests, because three loops share the process's cores."""
    await until_soon(condition, limit_s)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def _listening(port: int, limit_s: float = 60.0) -> None:
    for _ in range(int(limit_s / 0.02)):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the server does not listen")

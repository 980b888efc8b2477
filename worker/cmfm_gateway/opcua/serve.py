"""Builds the server from the settings and runs it: types, nodes, certificates, users, then a loop over changes."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

import structlog
from asyncua import ua

from cmfm_gateway.opcua.bridge import LineBridge
from cmfm_gateway.opcua.events import EventSender
from cmfm_gateway.opcua.instance import OWN_NAMESPACE, SYSTEM, Instances
from cmfm_gateway.opcua.library_log import library_log
from cmfm_gateway.opcua.login import Login
from cmfm_gateway.opcua.model.build import build_types
from cmfm_gateway.opcua.model.import_nodeset import import_nodeset
from cmfm_gateway.opcua.model.kinds import NAMESPACE
from cmfm_gateway.opcua.model.writer import NodeWriter
from cmfm_gateway.opcua.nodes import Nodes
from cmfm_gateway.opcua.own_certificate import ensure_certificate
from cmfm_gateway.opcua.serving.clients import ClientCertificates
from cmfm_gateway.opcua.serving.refusals import Refusals
from cmfm_gateway.opcua.serving.server import GuardedInternalServer, GuardedServer
from cmfm_gateway.opcua.structures import register_structures
from cmfm_gateway.opcua.trust_list import TrustList, thumbprint
from cmfm_gateway.opcua.users import read_users
from cmfm_gateway.opcua.vision_system import NOTIFIERS, VisionSystem, make_nodes
from cmfm_gateway.settings.opcua import OpcUaSection

PRODUCT_URI: Final = "urn:cmfm:cmfm-gateway"

OWNER_PERIOD_S: Final = 0.5
"""Logins and logouts of clients are looked at so often."""


async def serve(line: LineBridge, changed: asyncio.Event, ready: Callable[[], None]) -> None:
    """Serve until cancelled; `changed` is set at each change of the line. Raises StartupError, InputError."""
    async with listening(line) as system:
        owner = asyncio.create_task(_tell_owner(system, line))
        try:
            ready()
            while True:
                changed.clear()
                await system.refresh()
                await changed.wait()
        finally:
            owner.cancel()


async def _tell_owner(system: VisionSystem, line: LineBridge) -> None:
    """Tell the gateway whether a client owns the line, from the first one that does: before, it does not know."""
    is_known = False
    while True:
        is_known = is_known or system.is_owned
        if is_known:
            line.owned(by_plc=system.is_owned)
        await asyncio.sleep(OWNER_PERIOD_S)


@contextlib.asynccontextmanager
async def listening(line: LineBridge) -> AsyncIterator[VisionSystem]:
    """Build and start the server; stop it at the end."""
    section = line.settings.opcua
    refusals = Refusals(lambda cause: line.count(f"refused_{cause}"))
    login = Login(section.users, refusals, anonymous_may_read=section.anonymous_may_read)
    clients = ClientCertificates(TrustList(section.certificates))
    server = GuardedServer(GuardedInternalServer(login, clients, refusals, max_sessions=section.sessions))
    with library_log():
        await server.init()
        await _identify(server, section)
        system = await build_system(server, line)
        await server.start()
        try:
            await system.start()
            _tell_ready(server, section)
            yield system
        finally:
            await server.stop()


def _tell_ready(server: Any, section: OpcUaSection) -> None:
    """Write where clients reach the server, and warn if none of them could log in."""
    log = structlog.get_logger("opcua")
    log.info("opcua_ready", url=server.endpoint.geturl(), certificate=thumbprint(server.iserver.certificate))
    if not section.anonymous_may_read and not read_users(section.users):
        log.warning("opcua_no_users", file=str(section.users), do="cmfm-gateway opcua user add NAME")


async def build_system(server: Any, line: LineBridge) -> VisionSystem:
    """Add types and nodes to a server that does not listen yet."""
    companion = await server.register_namespace(NAMESPACE)
    own = await server.register_namespace(OWN_NAMESPACE)
    register_structures(companion)
    nodeset = line.settings.opcua.nodeset
    if nodeset is None:
        await build_types(server, companion)
    else:
        await import_nodeset(server, nodeset, companion)
    instances = Instances(NodeWriter(server, companion), own)
    await make_nodes(instances)
    for path in NOTIFIERS:
        node = server.get_node(instances.id_of(path))
        await node.set_event_notifier([ua.EventNotifier.SubscribeToEvents])
    notifiers = [instances.id_of(SYSTEM), ua.NodeId(ua.ObjectIds.Server)]
    nodes = Nodes(server, instances, EventSender(server, notifiers))
    return VisionSystem(server, instances, nodes, line)


async def _identify(server: Any, section: OpcUaSection) -> None:
    uri = application_uri(section)
    await server.set_application_uri(uri)
    await server.set_build_info(PRODUCT_URI, "cmfm", "cmfm-gateway", version("cmfm"), "", datetime.now(UTC))
    server.product_uri, server.name = PRODUCT_URI, f"cmfm-gateway {section.name}".strip()
    server.set_endpoint(f"opc.tcp://{advertised_host(section)}:{section.port}{section.path}")
    server.socket_address = (section.host, section.port)
    files = ensure_certificate(section.certificates, uri, certificate_hosts(section))
    await server.load_certificate(files.certificate, format="der")
    await server.load_private_key(files.key)
    tokens = [ua.UserNameIdentityToken]
    if section.anonymous_may_read:
        tokens.append(ua.AnonymousIdentityToken)
    server.set_identity_tokens(tokens)


def application_uri(section: OpcUaSection) -> str:
    """Return the URI that certificate and server share."""
    return section.application_uri or f"urn:{socket.gethostname()}:cmfm-gateway"


def advertised_host(section: OpcUaSection) -> str:
    """Return the host that endpoints name; clients that came by another one are told that one."""
    if section.hosts:
        return section.hosts[0]
    return section.host if section.host not in {"0.0.0.0", "::"} else socket.gethostname()  # noqa: S104


def certificate_hosts(section: OpcUaSection) -> tuple[str, ...]:
    """Return the hosts that the server's own certificate is made for."""
    named = (*section.hosts, section.host)
    return tuple(host for host in named if host not in {"0.0.0.0", "::"})  # noqa: S104

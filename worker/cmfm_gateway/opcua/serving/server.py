"""The server: guarded connections and sessions, and two endpoints that sign and encrypt."""

import asyncio
from typing import Any, Final

from asyncua import Server, ua
from asyncua.common.connection import TransportLimits
from asyncua.common.utils import ServiceError
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import SessionState

from cmfm_gateway.errors import StartupError
from cmfm_gateway.opcua.serving import limits
from cmfm_gateway.opcua.serving.clients import ClientCertificates
from cmfm_gateway.opcua.serving.decode_guard import refuse_null_arrays
from cmfm_gateway.opcua.serving.methods import MethodTable
from cmfm_gateway.opcua.serving.protocol import GuardedBinaryServer
from cmfm_gateway.opcua.serving.refusals import Refusals
from cmfm_gateway.opcua.serving.session import GuardedSession

POLICIES: Final = (
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
)
"""Security policies on offer; a session needs one of them."""


class GuardedInternalServer(InternalServer):
    """Makes guarded sessions, as many as are allowed."""

    time_task: Any

    def __init__(
        self, users: Any, clients: ClientCertificates, refusals: Refusals, *, max_sessions: int
    ) -> None:
        super().__init__(user_manager=users)
        self.clients = clients
        self.refusals = refusals
        self.methods = MethodTable()
        self.max_sessions = max_sessions
        self.certificate_validator = clients.require_description
        self.allow_remote_admin = False
        self.max_connections = max_sessions + limits.MAX_UNACTIVATED
        self.max_pending_messages_per_connection = limits.MAX_PENDING_MESSAGES
        self.max_pending_activation_seconds = limits.ACTIVATION_S
        self.max_subscriptions = max_sessions * limits.MAX_SUBSCRIPTIONS_PER_SESSION
        self.max_monitored_item_queue_size = limits.MAX_QUEUE
        self.max_unacked_messages_per_subscription = limits.MAX_UNACKED
        self.min_session_timeout_ms = limits.MIN_SESSION_MS
        self.max_session_timeout_ms = limits.MAX_SESSION_MS

    def create_session(self, name: Any, *_: Any, external: bool = False) -> GuardedSession:
        """Return a new session. Raises ServiceError if there are as many as allowed."""
        if len(self._external_sessions) >= self.max_sessions:
            self.refusals.note("too_many_sessions", str(name))
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        return GuardedSession(self, self.aspace, self.subscription_service, name, external=external)

    @property
    def is_controlled(self) -> bool:
        """True while a user that may call methods that change something is logged in."""
        return any(
            session.may_control and session.state == SessionState.Activated
            for session in self._external_sessions.values()
        )

    async def stop(self) -> None:
        """Stop without waiting for the next second of the clock."""
        if self.time_task is not None:
            self.time_task.cancel()
            await asyncio.wait({self.time_task})
            self.time_task = None
        await super().stop()


class GuardedServer(Server):
    """An OPC UA server that listens with guarded connections."""

    iserver: GuardedInternalServer
    bserver: GuardedBinaryServer | None

    def __init__(self, iserver: GuardedInternalServer) -> None:
        refuse_null_arrays()
        super().__init__(iserver=iserver)
        self.application_type = ua.ApplicationType.Server
        self.limits = TransportLimits(
            max_recv_buffer=limits.MAX_CHUNK_BYTES,
            max_send_buffer=limits.MAX_CHUNK_BYTES,
            max_chunk_count=limits.MAX_MESSAGE_BYTES // 8192,
            max_message_size=limits.MAX_MESSAGE_BYTES,
        )
        self.set_security_policy(list(POLICIES))

    async def start(self) -> None:
        """Listen. Raises StartupError if the address cannot be bound."""
        await self._setup_server_nodes()
        await self._show_limits()
        await self.iserver.start()
        address, port = self._get_bind_socket_info()
        self.bserver = GuardedBinaryServer(self.iserver, address, port, self.limits)
        self.bserver.set_policies(self._policies)
        try:
            await self.bserver.start()
        except OSError as error:
            self.bserver = None
            await self.iserver.stop()
            raise StartupError(f"opcua: cannot listen on {address}:{port}: {error.strerror}") from error

    async def _show_limits(self) -> None:
        """Write the limits of operations where clients look for them."""
        prefix = "Server_ServerCapabilities_OperationLimits_"
        for name, number in vars(ua.ObjectIds).items():
            if name.startswith(prefix + "Max"):
                node = self.get_node(ua.NodeId(number))
                await node.write_value(ua.Variant(limits.MAX_NODES, ua.VariantType.UInt32))

"""The messages of one connection: which are taken, in which state, over which channel."""

from typing import Any, Final

from asyncua import ua
from asyncua.common.connection import SecureConnection
from asyncua.common.utils import ServiceError
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.server.uaprocessor import UaProcessor

from cmfm_gateway.opcua.serving.refusals import CutOffError, peer_text


def _requests(*names: str) -> frozenset[Any]:
    return frozenset(
        ua.NodeId(getattr(ua.ObjectIds, f"{name}Request_Encoding_DefaultBinary")) for name in names
    )


DISCOVERY: Final = _requests("GetEndpoints", "FindServers", "CloseSecureChannel")
"""Requests that need neither session nor encryption: a client learns from them what it must use."""

CREATE: Final = _requests("CreateSession")
SET_UP: Final = _requests("CreateSession", "ActivateSession", "CloseSession")
"""Requests of a session that is not activated, over an encrypted channel."""

NEVER: Final = _requests(
    "RegisterServer",
    "RegisterServer2",
    "AddNodes",
    "DeleteNodes",
    "AddReferences",
    "DeleteReferences",
    "HistoryRead",
    "HistoryUpdate",
)
"""Requests that this server does not serve. The library takes RegisterServer from anybody, without a session."""


class GuardedConnection(SecureConnection):
    """Puts chunks together; a message above the limits ends the connection and is counted."""

    def receive_from_header_and_body(self, header: Any, body: Any) -> Any:
        """Return a message, None if more chunks belong to it. Raises CutOffError for one that is too large."""
        try:
            return super().receive_from_header_and_body(header, body)
        except ua.uaerrors.BadRequestTooLarge as error:
            raise CutOffError("too_large", error.code, "message") from error


class GuardedProcessor(UaProcessor):
    """Serves discovery to everybody, sessions to trusted certificates, all else to activated sessions."""

    session: Any

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._connection = GuardedConnection(SecurityPolicyNone(), self._limits)

    @property
    def peer(self) -> str:
        """Address of the client, for the log."""
        return peer_text(self.name)

    @property
    def encrypted(self) -> bool:
        """True for a channel that signs and encrypts."""
        return not isinstance(self._connection.security_policy, SecurityPolicyNone)

    def open_secure_channel(self, algohdr: Any, seqhdr: Any, body: Any) -> None:
        """Open or renew the channel.

        Raises CutOffError for a certificate that is not trusted. Its signature has been verified by then: a refused
        certificate is one whose owner is there.
        """
        policy = self._connection.security_policy
        if self.encrypted:
            self.iserver.clients.require_trusted(policy.peer_certificate)
        elif algohdr.SecurityPolicyURI not in {None, SecurityPolicyNone.URI}:
            raise CutOffError("no_encryption", ua.StatusCodes.BadSecurityPolicyRejected)
        try:
            super().open_secure_channel(algohdr, seqhdr, body)
        except ua.UaError as error:
            raise CutOffError("no_encryption", ua.StatusCodes.BadSecurityModeRejected, str(error)) from error

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        self._require_allowed(typeid, requesthdr)
        session = self.session
        try:
            return await super()._process_message(typeid, requesthdr, seqhdr, body)
        except BaseException:
            if typeid in CREATE and self.session is not session and self.session is not None:
                failed, self.session = self.session, session
                await failed.close_session(True)
            raise

    def _require_allowed(self, typeid: Any, requesthdr: Any) -> None:
        """Raise ServiceError for a request that this connection may not make now."""
        if typeid in NEVER:
            raise ServiceError(ua.StatusCodes.BadServiceUnsupported)
        if typeid in DISCOVERY:
            return
        if not self.encrypted:
            self._refuse("no_encryption", ua.StatusCodes.BadSecurityPolicyRejected)
        if typeid in CREATE:
            if self.session is not None and not self.session.is_closed:
                self._refuse("too_many_sessions", ua.StatusCodes.BadTooManySessions)
        elif self.session is not None:
            if requesthdr.AuthenticationToken != self.session.auth_token or self.session.is_closed:
                self._refuse("not_activated", ua.StatusCodes.BadSessionIdInvalid)
            if typeid not in SET_UP and not self.session.is_activated():
                self._refuse("not_activated", ua.StatusCodes.BadSessionNotActivated)
        elif typeid not in SET_UP:
            self._refuse("not_activated", ua.StatusCodes.BadSessionIdInvalid)

    def _refuse(self, cause: str, status: int) -> None:
        self.iserver.refusals.note(cause, self.peer)
        raise ServiceError(status)

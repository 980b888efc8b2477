"""ConfigurationManagement: the gateway's settings are its one configuration. It is changed in its file, not here."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from cmfm_gateway.opcua.errors import ErrorCode
from cmfm_gateway.opcua.handles import NO_HANDLE, Handles
from cmfm_gateway.opcua.instance import SYSTEM
from cmfm_gateway.opcua.results import text_of
from cmfm_gateway.opcua.structures import ConfigurationDataType, ConfigurationIdDataType

MANAGEMENT: Final = f"{SYSTEM}.ConfigurationManagement"
ACTIVE: Final = f"{MANAGEMENT}.ActiveConfiguration"


class Configuration:
    """The configuration that is active from start to end."""

    def __init__(self, identifier: ConfigurationIdDataType) -> None:
        self.active = ConfigurationDataType(
            HasTransferableDataOnFile=False, InternalId=identifier, LastModified=datetime.now(UTC)
        )
        self._handles = Handles()

    async def by_id(self, internal: Any, _timeout: int) -> Sequence[Any]:
        """GetConfigurationById."""
        if not self._is_active(internal):
            return NO_HANDLE, ConfigurationDataType(), int(ErrorCode.UNKNOWN)
        return self._handles.new(), self.active, int(ErrorCode.OK)

    async def list(self, _most: int | None, start: int | None, _timeout: int) -> Sequence[Any]:
        """GetConfigurationList."""
        listed = [] if start else [self.active]
        return True, len(listed), self._handles.new(), listed, int(ErrorCode.OK)

    async def activate(self, internal: Any) -> Sequence[Any]:
        """ActivateConfiguration: the active one can be activated again, there is no other."""
        return (int(ErrorCode.OK if self._is_active(internal) else ErrorCode.UNKNOWN),)

    async def release(self, handle: int | None) -> Sequence[Any]:
        """ReleaseConfigurationHandle."""
        return (int(self._handles.release(handle)),)

    def _is_active(self, internal: Any) -> bool:
        own = self.active.InternalId
        return text_of(internal) == own.Id and getattr(internal, "Hash", None) in {None, b"", own.Hash}

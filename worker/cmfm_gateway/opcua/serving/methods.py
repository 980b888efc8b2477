"""Methods that clients call: found by object and method, arguments checked against the model, errors kept inside."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from asyncua import ua

from cmfm_gateway.opcua.model.kinds import Argument, Base, Field
from cmfm_gateway.opcua.model.tables import ENUMERATION_NAMES, SIMPLE_BASES, STRUCTURES_BY_NAME
from cmfm_gateway.opcua.structures import CLASSES_BY_NAME

Values = Sequence[Any]

_VARIANT_TYPES: Final = {
    Base.BOOLEAN: ua.VariantType.Boolean,
    Base.UINT16: ua.VariantType.UInt16,
    Base.INT32: ua.VariantType.Int32,
    Base.UINT32: ua.VariantType.UInt32,
    Base.UINT64: ua.VariantType.UInt64,
    Base.DOUBLE: ua.VariantType.Double,
    Base.STRING: ua.VariantType.String,
    Base.NODE_ID: ua.VariantType.NodeId,
    Base.LOCALIZED_TEXT: ua.VariantType.LocalizedText,
    Base.UTC_TIME: ua.VariantType.DateTime,
    Base.DURATION: ua.VariantType.Double,
    Base.BASE_DATA_TYPE: ua.VariantType.Variant,
}


@dataclass(frozen=True, slots=True)
class MethodEntry:
    """Action of a method. `control`: it changes something, so that users with the role `view` may not call it."""

    name: str
    function: Callable[..., Awaitable[Values]]
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    control: bool


class MethodTable:
    """The methods of the server's objects, under the ids of the object's method and of its type's."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Any, Any], MethodEntry] = {}
        self._log = structlog.get_logger("opcua")

    def add(self, object_id: Any, method_ids: Sequence[Any], entry: MethodEntry) -> None:
        """Serve a method of an object under each of the ids."""
        for method_id in method_ids:
            self._entries[object_id, method_id] = entry

    def remove_object(self, object_id: Any) -> None:
        """Forget the methods of an object that is gone."""
        self._entries = {key: entry for key, entry in self._entries.items() if key[0] != object_id}

    async def call(self, session: Any, request: Any) -> Any:
        """Return the result of one call; every error is a status code in it."""
        result = ua.CallMethodResult()
        entry = self._entries.get((request.ObjectId, request.MethodId))
        if entry is None:
            result.StatusCode = ua.StatusCode(ua.StatusCodes.BadMethodInvalid)
            return result
        if entry.control and not session.may_control:
            session.iserver.refusals.note("not_allowed", str(session.user.name), entry.name)
            result.StatusCode = ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)
            return result
        given = list(request.InputArguments or ())
        statuses = [_status(argument, value) for argument, value in zip(entry.inputs, given, strict=False)]
        if len(given) != len(entry.inputs):
            missing = len(given) < len(entry.inputs)
            codes = ua.StatusCodes
            result.StatusCode = ua.StatusCode(
                codes.BadArgumentsMissing if missing else codes.BadTooManyArguments
            )
        elif any(statuses):
            result.StatusCode = ua.StatusCode(ua.StatusCodes.BadInvalidArgument)
            result.InputArgumentResults = [ua.StatusCode(status) for status in statuses]
        else:
            await self._run(entry, [value.Value for value in given], result)
        return result

    async def _run(self, entry: MethodEntry, values: list[Any], result: Any) -> None:
        try:
            outputs = await entry.function(*values)
        except Exception:  # noqa: BLE001  (our bug in one method must not end the connection)
            self._log.exception("opcua_method_bug", method=entry.name)
            result.StatusCode = ua.StatusCode(ua.StatusCodes.BadInternalError)
        else:
            result.OutputArguments = [
                variant(value, argument) for value, argument in zip(outputs, entry.outputs, strict=True)
            ]


def variant(value: Any, argument: Argument | Field) -> Any:
    """Return a value as the variant that an argument or field of the model asks for; its empty value for None."""
    filled = _empty(argument) if value is None else value
    return ua.Variant(filled, variant_type(argument), is_array=argument.rank > 0)


def variant_type(argument: Argument | Field) -> Any:
    """Return the encoding of an argument's data type."""
    kind = argument.data_type
    if isinstance(kind, str):
        if kind in STRUCTURES_BY_NAME:
            return ua.VariantType.ExtensionObject
        kind = Base.INT32 if kind in ENUMERATION_NAMES else SIMPLE_BASES[kind]
    return _VARIANT_TYPES[kind]


def _empty(argument: Argument | Field) -> Any:
    """Return the value that stands for none: the library cannot encode None in most types."""
    if argument.rank > 0:
        return []
    if isinstance(argument.data_type, str) and argument.data_type in CLASSES_BY_NAME:
        return CLASSES_BY_NAME[argument.data_type]()
    return ua.get_default_value(variant_type(argument))


def _status(argument: Argument, given: Any) -> int:
    """Return 0 if a value fits its argument, else a status code. A null structure or text is taken."""
    if given.Value is None and variant_type(argument) is not ua.VariantType.Boolean:
        return 0
    if argument.rank > 0:
        return 0 if isinstance(given.Value, list) else int(ua.StatusCodes.BadTypeMismatch)
    if given.VariantType != variant_type(argument) or isinstance(given.Value, list):
        return int(ua.StatusCodes.BadTypeMismatch)
    if isinstance(argument.data_type, str) and argument.data_type in STRUCTURES_BY_NAME:
        fits = type(given.Value).__name__ == argument.data_type
        return 0 if fits else int(ua.StatusCodes.BadTypeMismatch)
    return 0

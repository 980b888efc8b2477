"""Sparkplug B payloads: the messages of the specification's protobuf schema that an edge node needs.

The schema is declared here as a table (field numbers: Sparkplug 3.0, section 6.4), for protobuf's own runtime. It is
kept out of protobuf's default pool, where another program's copy of the schema may be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

Value = int | float | bool | str | None


class DataType(IntEnum):
    """Data types of metrics that are used here."""

    INT64 = 4
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `value` None is sent as null. `timestamp_ms`: UTC, since 1970."""

    name: str
    datatype: DataType
    value: Value
    timestamp_ms: int
    historical: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """One metric of an NCMD; `value` None if it has none of a type that is read here."""

    name: str
    value: Value


class PayloadError(Exception):
    """Bytes that are not a Sparkplug payload, or one beyond the limits."""


MAX_COMMAND_BYTES: Final = 4096
MAX_COMMAND_METRICS: Final = 64

_PACKAGE: Final = "cmfm.sparkplug"
_UINT32, _UINT64, _DOUBLE, _BOOL, _STRING, _MESSAGE = 13, 4, 1, 8, 9, 11
"""Types of fields in protobuf's descriptors."""

_METRIC_FIELDS: Final = (
    ("name", 1, _STRING),
    ("timestamp", 3, _UINT64),
    ("datatype", 4, _UINT32),
    ("is_historical", 5, _BOOL),
    ("is_null", 7, _BOOL),
)
_VALUE_FIELDS: Final = (
    ("int_value", 10, _UINT32),
    ("long_value", 11, _UINT64),
    ("double_value", 13, _DOUBLE),
    ("boolean_value", 14, _BOOL),
    ("string_value", 15, _STRING),
)
"""The fields of the oneof `value`; others are skipped as unknown."""

_VALUE_OF: Final = {
    DataType.INT64: "long_value",
    DataType.DOUBLE: "double_value",
    DataType.BOOLEAN: "boolean_value",
    DataType.STRING: "string_value",
}
_UINT64_RANGE: Final = 1 << 64


def encode_payload(metrics: Sequence[Metric], *, timestamp_ms: int, seq: int | None) -> bytes:
    """A payload; `seq` None for an NDEATH, which has none."""
    payload = _Payload(timestamp=timestamp_ms)
    for metric in metrics:
        _fill(payload.metrics.add(), metric)
    if seq is not None:
        payload.seq = seq
    encoded: bytes = payload.SerializeToString()
    return encoded


def decode_commands(payload: bytes) -> list[Command]:
    """The metrics of an NCMD. Raises PayloadError."""
    if len(payload) > MAX_COMMAND_BYTES:
        raise PayloadError(f"a command of more than {MAX_COMMAND_BYTES} bytes")
    try:
        message = _Payload.FromString(payload)
    except DecodeError as error:
        raise PayloadError(f"not a Sparkplug payload: {error}") from error
    if len(message.metrics) > MAX_COMMAND_METRICS:
        raise PayloadError(f"a command of more than {MAX_COMMAND_METRICS} metrics")
    commands = [Command(metric.name, _value(metric)) for metric in message.metrics]
    if any(isinstance(text, bytes) for command in commands for text in (command.name, command.value)):
        raise PayloadError("text that is not UTF-8")  # protobuf's runtime gives it as bytes
    return commands


def _fill(target: Any, metric: Metric) -> None:
    target.name = metric.name
    target.timestamp = metric.timestamp_ms
    target.datatype = int(metric.datatype)
    if metric.historical:
        target.is_historical = True
    if metric.value is None:
        target.is_null = True
    elif metric.datatype is DataType.INT64:
        target.long_value = int(metric.value) % _UINT64_RANGE  # two's complement, as the specification says
    else:
        setattr(target, _VALUE_OF[metric.datatype], metric.value)


def _value(metric: Any) -> Value:
    field = metric.WhichOneof("value")
    value: Value = getattr(metric, field) if field is not None and not metric.is_null else None
    return value


def _message_class() -> Any:
    """The class of protobuf's runtime for the table above; proto2, so that absent differs from zero."""
    file = descriptor_pb2.FileDescriptorProto(name="cmfm_sparkplug.proto", package=_PACKAGE, syntax="proto2")
    metric = file.message_type.add(name="Metric")
    metric.oneof_decl.add(name="value")
    for name, number, kind in _METRIC_FIELDS:
        metric.field.add(name=name, number=number, type=kind, label=1)
    for name, number, kind in _VALUE_FIELDS:
        metric.field.add(name=name, number=number, type=kind, label=1, oneof_index=0)
    payload = file.message_type.add(name="Payload")
    payload.field.add(name="timestamp", number=1, type=_UINT64, label=1)
    payload.field.add(name="metrics", number=2, type=_MESSAGE, label=3, type_name=f".{_PACKAGE}.Metric")
    payload.field.add(name="seq", number=3, type=_UINT64, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))


_Payload: Final = _message_class()

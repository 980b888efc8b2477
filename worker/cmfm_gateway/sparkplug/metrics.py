"""Metrics of the edge node: names and types follow from the declarations of WIRE.md's fields."""

import json
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final

from cmfm_gateway.line_view import LineView
from cmfm_gateway.mqtt.payloads import Delivery
from cmfm_gateway.sparkplug.payload import DataType, Metric, Value
from cmfm_gateway.store import StoredResult
from cmfm_protocol.wire.fields import fields_of, plain
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.state import COUNTS, WorkerState

REBIRTH: Final = "Node Control/Rebirth"
RECIPE: Final = "Node Control/Recipe"
BD_SEQ: Final = "bdSeq"

LINE: Final = MappingProxyType(
    {"Line/valid": DataType.BOOLEAN, "Line/cause": DataType.STRING, "Line/lost": DataType.INT64}
)
"""The line's validity: verdicts may be acted on, or why not."""

_TYPES: Final[dict[type[Any], DataType]] = {
    bool: DataType.BOOLEAN,
    int: DataType.INT64,
    float: DataType.DOUBLE,
}
"""Python's type of a field → its data type. Everything else is text, lists and maps as JSON."""


def _of_fields(prefix: str, kind: type[Any]) -> dict[str, DataType]:
    return {f"{prefix}/{field.name}": _TYPES.get(field.python, DataType.STRING) for field in fields_of(kind)}


def _worker_types() -> dict[str, DataType]:
    types = _of_fields("Worker", WorkerState)
    del types["Worker/counts"]  # a metric each, so that a historian can draw them
    return types | {f"Worker/counts/{name}": DataType.INT64 for name in COUNTS}


WORKER: Final = MappingProxyType(_worker_types())
"""The fields of the worker state."""

RESULT: Final = MappingProxyType(_of_fields("Result", Delivery) | _of_fields("Result", Result))
"""The fields of a result, and those that the gateway adds."""


def line_values(view: LineView) -> dict[str, Value]:
    """The present values of `LINE` and `WORKER`; without a worker state its values are null."""
    values: dict[str, Value] = {
        "Line/valid": view.valid,
        "Line/cause": str(view.cause),
        "Line/lost": view.lost,
    }
    if view.state is None:
        return values | dict.fromkeys(WORKER)
    state = plain(view.state)
    counts = state.pop("counts")
    values |= {f"Worker/{name}": _value(value) for name, value in state.items()}
    return values | {f"Worker/counts/{name}": counts[name] for name in COUNTS}


def line_metrics(values: dict[str, Value], now_ms: int) -> Iterator[Metric]:
    """Metrics of `LINE` and `WORKER` with these values."""
    types = {**LINE, **WORKER}
    for name, value in values.items():
        yield Metric(name, types[name], value, now_ms)


def result_metrics(stored: StoredResult, how: Delivery, *, historical: bool) -> Iterator[Metric]:
    """All metrics of one result, with the time of its verdict."""
    values = plain(how) | plain(stored.result)
    time_ms = stored.result.done_ns // 1_000_000
    for name, datatype in RESULT.items():
        yield Metric(name, datatype, _value(values[name.removeprefix("Result/")]), time_ms, historical)


def no_result(now_ms: int) -> Iterator[Metric]:
    """The metrics of a result at birth: null, and not valid, because no part is at hand."""
    for name, datatype in RESULT.items():
        yield Metric(name, datatype, False if name == "Result/valid" else None, now_ms)


def _value(value: Any) -> Value:
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)

"""A message as it was heard: its message frames, the time of its arrival, and the fields that could be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.fields import fields_of

MessageFrames = Sequence[bytes | memoryview]


class Arrival(NamedTuple):
    """When a message was received, by both clocks of this host in nanoseconds."""

    realtime_ns: int
    monotonic_ns: int


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of one kind. `fields` holds the valid fields by name, whatever is wrong with the others.

    `raw` is the whole map, `frames` are all message frames with the topic, `source` names the endpoint's option.
    """

    kind: str
    source: str
    arrival: Arrival
    frames: MessageFrames
    raw: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The message in a report: its kind and number."""
        seq = self.fields.get("seq")
        return f"{self.kind} {seq}" if seq is not None else f"a {self.kind} message"


def valid_fields(kind: type[Any], data: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, str]]:
    """The valid fields of a message's map, defaults included, and why each other one is not."""
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for declared in fields_of(kind):
        if declared.name not in data:
            if declared.required:
                problems[declared.name] = f"{declared.name} is missing"
            else:
                values[declared.name] = declared.default
            continue
        try:
            values[declared.name] = declared.wire_type.check(data[declared.name])
        except Violation as violation:
            problems[declared.name] = str(violation.under(declared.name))
    return values, problems

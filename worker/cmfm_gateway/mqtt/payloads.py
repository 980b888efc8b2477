"""JSON of the MQTT topics: the fields of WIRE.md's messages, and the gateway's own, declared once as there.

The tables of docs/plc.md are compared with these declarations.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Final

from cmfm_gateway.line_view import LineView
from cmfm_gateway.store import StoredResult
from cmfm_protocol.wire.fields import Meaning, Unit, nested, plain
from cmfm_protocol.wire.limits import PROTOCOL_MAJOR
from cmfm_protocol.wire.state import SentNs, WorkerState
from cmfm_protocol.wire.wire_types import flag, integer, items, name, optional, text

CONTENT_TYPE: Final = "application/json"

LIVE_NS: Final = 2_000_000_000
"""A result that is published later than this after its arrival is for the record: its part has moved on."""

STALE: Final = "stale"
LATE: Final = "late"
GATEWAY_LOST: Final = "gateway_lost"
GATEWAY_STOPPED: Final = "gateway_stopped"

Valid = Annotated[
    bool, flag(), Meaning("true: verdicts may be acted on. false: *not valid*, treat every part as rejected")
]
Cause = Annotated[str, text(), Meaning("why `valid` is false; empty if it is true")]


@dataclass(frozen=True, slots=True)
class Delivery:
    """Fields that the gateway adds to a result."""

    number: Annotated[int, integer(1), Meaning("number of the result in the gateway's store, ascending")]
    valid: Annotated[
        bool,
        flag(),
        Meaning("true: the verdict may be acted on. false: for the record only, whatever `verdict` says"),
    ]
    cause: Annotated[
        str,
        text(),
        Meaning(
            "why `valid` is false: `stale` (recovered, or of an earlier boot), `late` (published more than 2 s "
            "after it arrived), or the cause of `state`; empty if `valid` is true"
        ),
    ]
    dup: Annotated[
        bool,
        flag(),
        Meaning("true: this result may have been published before; `(boot_id, result_id)` tells"),
    ]
    regions_left_out: Annotated[
        int, integer(), Meaning("regions that were left out because the broker refuses larger messages")
    ]
    sent_ns: SentNs


@dataclass(frozen=True, slots=True)
class StateMessage:
    """The payload of `state`."""

    valid: Valid
    cause: Cause
    lost: Annotated[int, integer(), Unit("results"), Meaning("known to be lost since the gateway's start")]
    newest_number: Annotated[int, integer(), Meaning("`number` of the newest result in the gateway's store")]
    sent_ns: SentNs
    worker: Annotated[
        WorkerState | None,
        optional(nested(WorkerState)),
        Meaning("newest worker state, the fields of WIRE.md; null before the first"),
    ]


@dataclass(frozen=True, slots=True)
class RecipeMessage:
    """The payload of `recipe`."""

    valid: Valid
    recipes: Annotated[tuple[str, ...], items(name(), most=1024), Meaning("recipes that are loaded")]
    newest: Annotated[str, text(), Meaning("recipe of the newest result; empty before the first")]
    requests: Annotated[bool, flag(), Meaning("true: `recipe/set` is served")]
    sent_ns: SentNs


@dataclass(frozen=True, slots=True)
class HealthMessage:
    """The payload of `health`: counts since the gateway's start."""

    connections: Annotated[int, integer(), Meaning("connections to the broker that were made")]
    failures: Annotated[int, integer(), Meaning("connections that failed or ended")]
    sent: Annotated[int, integer(), Unit("results"), Meaning("published, repetitions counted again")]
    acknowledged: Annotated[int, integer(), Unit("results"), Meaning("acknowledged by the broker")]
    repeated: Annotated[int, integer(), Unit("results"), Meaning("published with `dup` true")]
    refused: Annotated[int, integer(), Unit("messages"), Meaning("refused by the broker; results go again")]
    skipped: Annotated[int, integer(), Unit("results"), Meaning("given up: too large for the broker")]
    dropped: Annotated[
        int, integer(), Unit("results"), Meaning("gone from the store before the broker took them")
    ]
    confirmed: Annotated[int, integer(), Meaning("every `number` up to this one is acknowledged")]
    backlog: Annotated[int, integer(), Unit("results"), Meaning("stored and not acknowledged")]
    pictures: Annotated[int, integer(), Meaning("pictures that were sent")]
    requests_refused: Annotated[int, integer(), Meaning("requests that were answered with an error")]
    sent_ns: SentNs


def delivery(
    stored: StoredResult, view: LineView, *, now_ns: int, dup: bool, regions_left_out: int = 0
) -> Delivery:
    """Say how a result is delivered at `now_ns`: valid only if it is live and the line view is valid."""
    cause = not_valid_because(stored, view, now_ns)
    return Delivery(stored.number, not cause, cause, dup, regions_left_out, now_ns)


def not_valid_because(stored: StoredResult, view: LineView, now_ns: int) -> str:
    """Return the reason why nobody may act on a result that is delivered at `now_ns`; empty if one may."""
    if stored.stale or stored.received_ns is None:
        return STALE
    if not 0 <= now_ns - stored.received_ns <= LIVE_NS:
        return LATE
    return "" if view.valid else str(view.cause) or "unknown"


def result_json(stored: StoredResult, how: Delivery) -> bytes:
    """The payload of `result` and `reject`: WIRE.md's result fields, then those of `Delivery`."""
    fields = plain(stored.result)
    if how.regions_left_out:
        fields["regions"] = []
    return as_json({**fields, **plain(how)})


def as_json(message: Any) -> bytes:
    """A declared message, or a map, as UTF-8 JSON with the major version `v` first."""
    return json.dumps({"v": PROTOCOL_MAJOR, **plain(message)}, ensure_ascii=False, allow_nan=False).encode()

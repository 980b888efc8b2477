"""Requests to a worker and its replies: status, announce, load recipe, drain, results since (WIRE.md, control).

One request is one msgpack map, answered by one; over REQ or DEALER to the worker's ROUTER sockets. Functions
here take and give the map's bytes, without the envelope.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgpack

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.checks import flag, integer, items, name, one_of, optional, text
from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.record import (
    Part,
    Table,
    byte_views,
    checked,
    nested,
    ours,
    pack,
    plain,
    read,
    require_version,
    theirs,
    unpack,
)
from cmfm_protocol.wire.result import Result, fit_text, read_result
from cmfm_protocol.wire.state import WORKER_TABLE, WorkerState
from cmfm_protocol.wire.trigger import TRIGGER_TABLE, TriggerMessage
from cmfm_protocol.wire.verdict import Reason


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """Ask for the worker's state. `id` comes back in the reply, here and below."""

    id: str
    op: Literal["status"] = "status"


@dataclass(frozen=True, slots=True)
class LoadRecipeRequest:
    """Load or reload a recipe from the worker's own folder of recipes; answered when it is in use."""

    id: str
    recipe: str
    op: Literal["load_recipe"] = "load_recipe"


@dataclass(frozen=True, slots=True)
class DrainRequest:
    """Accept no further frame, answer every accepted one, end. Answered at once."""

    id: str
    op: Literal["drain"] = "drain"


@dataclass(frozen=True, slots=True)
class AnnounceRequest:
    """The line's own count of triggers: the stream has fired up to `trigger.seq`, the last of them as it says.

    Answered when each of them that was not known owes a verdict by the trigger's deadline.
    """

    id: str
    trigger: TriggerMessage
    op: Literal["announce"] = "announce"


@dataclass(frozen=True, slots=True)
class ResultsSinceRequest:
    """Ask for results with ids above `result_id` of boot `boot_id`, oldest first, at most `limit`."""

    id: str
    boot_id: str
    result_id: int
    limit: int = limits.MAX_RESULTS_PER_REPLY
    op: Literal["results_since"] = "results_since"


Request = StatusRequest | LoadRecipeRequest | DrainRequest | AnnounceRequest | ResultsSinceRequest


@dataclass(frozen=True, slots=True)
class ResultsPage:
    """Results of the worker's present boot, `boot_id`, which may not be the one that was asked for.

    `oldest_id` and `newest_id` are the ids that the worker still holds (newest_id + 1 and newest_id when
    none). `complete`: no result between the one asked from and the last of `results` is gone, and none above
    is left.
    """

    boot_id: str
    oldest_id: int
    newest_id: int
    results: tuple[Result, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the request `id` ("" where it could not be read).

    `error` says what was wrong when `ok` is false; `state` answers `status`, `page` answers `results_since`.
    """

    id: str
    ok: bool
    error: str = ""
    state: WorkerState | None = None
    page: ResultsPage | None = None


_ID: Final = text(empty=False, max_bytes=limits.MAX_NAME_CHARS)

REQUESTS: Final[dict[str, tuple[type[Any], Table]]] = {
    "status": (StatusRequest, {"id": _ID, "op": one_of(["status"])}),
    "load_recipe": (LoadRecipeRequest, {"id": _ID, "op": one_of(["load_recipe"]), "recipe": name()}),
    "drain": (DrainRequest, {"id": _ID, "op": one_of(["drain"])}),
    "announce": (
        AnnounceRequest,
        {"id": _ID, "op": one_of(["announce"]), "trigger": nested(TriggerMessage, TRIGGER_TABLE)},
    ),
    "results_since": (
        ResultsSinceRequest,
        {
            "id": _ID,
            "op": one_of(["results_since"]),
            "boot_id": text(),
            "result_id": integer(),
            "limit": integer(1, limits.MAX_RESULTS_PER_REPLY),
        },
    ),
}
"""Operation → its class and table."""

PAGE_TABLE: Final[Table] = {
    "boot_id": text(empty=False),
    "oldest_id": integer(1),
    "newest_id": integer(),
    "results": items(read_result, most=limits.MAX_RESULTS_PER_REPLY),
    "complete": flag,
}
REPLY_TABLE: Final[Table] = {
    "id": text(max_bytes=limits.MAX_NAME_CHARS),
    "ok": flag,
    "error": text(),
    "state": optional(nested(WorkerState, WORKER_TABLE)),
    "page": optional(nested(ResultsPage, PAGE_TABLE)),
}


def encode_request(request: Request) -> bytes:
    """The request's map. Raises LocalProtocolError."""
    with ours():
        return pack(plain(checked(request, REQUESTS[request.op][1])), max_bytes=limits.MAX_REQUEST_BYTES)


def decode_request(body: Part) -> Request:
    """The request in a map. Raises RemoteProtocolError."""
    with theirs():
        data = unpack(byte_views([body])[0], max_bytes=limits.MAX_REQUEST_BYTES)
        require_version(data)
        operation = data.get("op")
        if not isinstance(operation, str) or operation not in REQUESTS:
            raise Violation(Reason.MALFORMED, f"none of {', '.join(REQUESTS)}", "op")
        request: Request = read(*REQUESTS[operation], data)
        return request


def encode_reply(reply: Reply) -> bytes:
    """The reply's map; `error` is made to fit. Raises LocalProtocolError."""
    with ours():
        data = plain(reply) | {"error": fit_text(reply.error)}
        return pack(plain(read(Reply, REPLY_TABLE, data)), max_bytes=limits.MAX_REPLY_BYTES)


def encode_results_reply(
    request_id: str,
    *,
    boot_id: str,
    oldest_id: int,
    newest_id: int,
    payloads: Sequence[bytes],
    complete: bool,
) -> bytes:
    """As `encode_reply` with a page, of results as they went over the wire (part 1 of `encode_result`).

    The worker keeps those; taking them as they are costs a microsecond a page instead of a millisecond a
    result. Raises LocalProtocolError; the payloads are trusted.
    """
    with ours():
        if len(payloads) > limits.MAX_RESULTS_PER_REPLY:
            raise Violation(
                Reason.OVERSIZE, f"{len(payloads)} results; at most {limits.MAX_RESULTS_PER_REPLY}"
            )
        page = ResultsPage(boot_id, oldest_id, newest_id, (), complete)
        data = plain(checked(Reply(request_id, ok=True, page=page), REPLY_TABLE))
        data["page"].pop("results")
        body = _with_results(data, payloads)
        if len(body) > limits.MAX_REPLY_BYTES:
            raise Violation(Reason.OVERSIZE, f"{len(body)} bytes; at most {limits.MAX_REPLY_BYTES}")
        return body


def decode_reply(body: Part) -> Reply:
    """The reply in a map. Raises RemoteProtocolError."""
    with theirs():
        data = unpack(byte_views([body])[0], max_bytes=limits.MAX_REPLY_BYTES)
        require_version(data)
        return read(Reply, REPLY_TABLE, data)


def _with_results(data: dict[str, Any], payloads: Sequence[bytes]) -> bytes:
    """The map of a reply whose page ends with `results`, the payloads set in as they are."""
    page = data.pop("page")
    packer = msgpack.Packer(autoreset=False)
    packer.pack_map_header(len(data) + 2)
    for key, value in {"v": limits.PROTOCOL_MAJOR, **data}.items():
        packer.pack(key)
        packer.pack(value)
    packer.pack("page")
    packer.pack_map_header(len(page) + 1)
    for key, value in page.items():
        packer.pack(key)
        packer.pack(value)
    packer.pack("results")
    packer.pack_array_header(len(payloads))
    return b"".join([packer.bytes(), *payloads])

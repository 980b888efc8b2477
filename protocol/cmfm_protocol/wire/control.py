"""Requests to a worker and its replies (WIRE.md, control); `record_requests` has those about what it writes on disk.

A request is one msgpack map, and so is its reply; they travel over REQ or DEALER to the worker's ROUTER sockets. The
functions here take and return the map's bytes, without the envelope.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Final, Literal, get_args

import msgpack

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.encoding import (
    VERSION,
    MessageFrame,
    byte_views,
    ours,
    pack,
    read_body,
    require_version,
    salvage,
    theirs,
    unpack,
)
from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.fields import Meaning, Required, Since, Unit, nested, plain_map, read
from cmfm_protocol.wire.record_requests import OPERATION, REQUEST_ID, AuditRequest, CollectRequest, RequestId
from cmfm_protocol.wire.result import BootId, Result, fit_text, nested_result
from cmfm_protocol.wire.state import WorkerState
from cmfm_protocol.wire.trigger import TriggerMessage
from cmfm_protocol.wire.verdict import Reason
from cmfm_protocol.wire.wire_types import flag, integer, items, name, one_of, optional, text


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """Ask for the worker's state."""

    id: RequestId
    op: Annotated[Literal["status"], one_of(["status"]), Required(), OPERATION] = "status"


@dataclass(frozen=True, slots=True)
class LoadRecipeRequest:
    """Load or reload a recipe from the worker's own folder of recipes; the reply comes when it is in use."""

    id: RequestId
    recipe: Annotated[
        str,
        name(),
        Meaning(
            "a folder under the worker's `recipes.folder`, loaded or loaded again; the reply comes when it is in use"
        ),
    ]
    op: Annotated[Literal["load_recipe"], one_of(["load_recipe"]), Required(), OPERATION] = "load_recipe"


@dataclass(frozen=True, slots=True)
class DrainRequest:
    """Accept no further frame, answer every accepted one, end. The reply comes at once."""

    id: RequestId
    op: Annotated[Literal["drain"], one_of(["drain"]), Required(), OPERATION] = "drain"


@dataclass(frozen=True, slots=True)
class AnnounceRequest:
    """Announce, from the line's own count of triggers, that the stream has fired up to `trigger.seq`.

    The reply comes when each of them that was not known owes a verdict by the trigger's deadline.
    """

    id: RequestId
    trigger: Annotated[
        TriggerMessage,
        nested(TriggerMessage),
        Meaning("[Trigger fields](#trigger-fields) without `v`; the line has fired up to this `seq`"),
    ]
    camera: Annotated[
        str,
        text(max_bytes=limits.MAX_NAME_CHARS),
        Since(2),
        Meaning(
            "name of the camera in `line.toml`: its newest stream is meant, whatever `trigger.stream_uuid` says"
        ),
    ] = ""
    op: Annotated[Literal["announce"], one_of(["announce"]), Required(), OPERATION] = "announce"


@dataclass(frozen=True, slots=True)
class ResultsSinceRequest:
    """Ask for results with ids above `result_id` of boot `boot_id`, oldest first, at most `limit`."""

    id: RequestId
    boot_id: Annotated[str, text(), Meaning("the boot whose ids you know; empty for none")]
    result_id: Annotated[int, integer(), Meaning("the last id you have; 0 for none")]
    limit: Annotated[
        int, integer(1, limits.MAX_RESULTS_PER_REPLY), Unit("results"), Meaning("at most so many")
    ] = limits.MAX_RESULTS_PER_REPLY
    op: Annotated[Literal["results_since"], one_of(["results_since"]), Required(), OPERATION] = (
        "results_since"
    )


Request = (
    StatusRequest
    | AnnounceRequest
    | LoadRecipeRequest
    | CollectRequest
    | AuditRequest
    | DrainRequest
    | ResultsSinceRequest
)


@dataclass(frozen=True, slots=True)
class ResultsPage:
    """Results of the worker's present boot, `boot_id`, which may not be the one that was asked for."""

    boot_id: Annotated[BootId, Meaning("the worker's present boot")]
    oldest_id: Annotated[
        int, integer(1), Meaning("oldest result that it still holds; `newest_id` + 1 if it holds none")
    ]
    newest_id: Annotated[int, integer(), Meaning("newest result; 0 before the first")]
    results: Annotated[
        tuple[Result, ...],
        items(nested_result(), most=limits.MAX_RESULTS_PER_REPLY),
        Meaning("[Result fields](#result-fields), by ascending id"),
    ]
    complete: Annotated[
        bool,
        flag(),
        Meaning("no result after the id asked from is gone, and none is left to ask for"),
    ]


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to the request `id`."""

    id: Annotated[
        str,
        text(max_bytes=limits.MAX_NAME_CHARS),
        Meaning("of the request; empty if it could not be read"),
    ]
    ok: Annotated[bool, flag(), Meaning("done")]
    error: Annotated[str, text(), Meaning("the reason if `ok` is false")] = ""
    state: Annotated[
        WorkerState | None,
        optional(nested(WorkerState)),
        Meaning("[Worker state](#worker-state), in the reply to `status`"),
    ] = None
    page: Annotated[
        ResultsPage | None,
        optional(nested(ResultsPage)),
        Meaning("[Page](#page), in the reply to `results_since`"),
    ] = None


def _op_of(kind: type[Any]) -> str:
    return next(str(field.default) for field in fields(kind) if field.name == "op")


REQUESTS: Final[dict[str, type[Any]]] = {_op_of(kind): kind for kind in get_args(Request)}
"""Operation → its class."""


def encode_request(request: Request) -> bytes:
    """The request's map. Raises LocalProtocolError."""
    with ours():
        return pack(plain_map(request), max_bytes=limits.MAX_REQUEST_BYTES)


def decode_request(body: MessageFrame) -> Request:
    """The request in a map. Raises RemoteProtocolError."""
    with theirs():
        data = unpack(byte_views([body])[0], max_bytes=limits.MAX_REQUEST_BYTES)
        require_version(data)
        operation = data.get("op")
        if not isinstance(operation, str) or operation not in REQUESTS:
            raise Violation(Reason.MALFORMED, f"not one of {', '.join(REQUESTS)}", "op")
        request: Request = read(REQUESTS[operation], data)
        return request


def read_id(body: MessageFrame) -> str:
    """The id of a request that `decode_request` refuses, also of a damaged one; empty if it cannot be read."""
    try:
        request_id: str = REQUEST_ID.check(salvage(byte_views([body])[0]).get("id"))
    except Violation:
        return ""
    return request_id


def encode_reply(reply: Reply) -> bytes:
    """The reply's map; `error` is made to fit. Raises LocalProtocolError."""
    with ours():
        data = plain_map(replace(reply, error=fit_text(reply.error)))
        return pack(data, max_bytes=limits.MAX_REPLY_BYTES)


def encode_results_reply(
    request_id: str,
    *,
    boot_id: str,
    oldest_id: int,
    newest_id: int,
    payloads: Sequence[bytes],
    complete: bool,
) -> bytes:
    """As `encode_reply` with a page, of results as they went over the wire (message frame 1 of `encode_result`).

    The worker keeps those; inserting them unchanged costs a microsecond a page instead of a millisecond a result.
    Raises LocalProtocolError; the payloads are trusted.
    """
    with ours():
        if len(payloads) > limits.MAX_RESULTS_PER_REPLY:
            raise Violation(
                Reason.OVERSIZE, f"{len(payloads)} results; at most {limits.MAX_RESULTS_PER_REPLY}"
            )
        page = ResultsPage(boot_id, oldest_id, newest_id, (), complete)
        data = plain_map(Reply(request_id, ok=True, page=page))
        data["page"].pop("results")
        body = _with_results(data, payloads)
        if len(body) > limits.MAX_REPLY_BYTES:
            raise Violation(Reason.OVERSIZE, f"{len(body)} bytes; at most {limits.MAX_REPLY_BYTES}")
        return body


def decode_reply(body: MessageFrame) -> Reply:
    """The reply in a map. Raises RemoteProtocolError."""
    with theirs():
        return read_body(byte_views([body])[0], Reply, max_bytes=limits.MAX_REPLY_BYTES)


def _with_results(data: dict[str, Any], payloads: Sequence[bytes]) -> bytes:
    """The map of a reply whose page ends with `results`; the payloads are inserted unchanged."""
    page = data.pop("page")
    packer = msgpack.Packer(autoreset=False)
    packer.pack_map_header(len(data) + 2)
    for key, value in {VERSION.name: limits.PROTOCOL_MAJOR, **data}.items():
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

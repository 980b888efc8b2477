"""Requests about what a worker writes on disk: parts to collect, and rows of its audit table (WIRE.md, control)."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.fields import Meaning, Required, Unit
from cmfm_protocol.wire.wire_types import integer, name, one_of, text, time_ns

REQUEST_ID: Final = text(empty=False, max_bytes=limits.MAX_NAME_CHARS)
RequestId = Annotated[str, REQUEST_ID, Meaning("comes back in the reply")]
OPERATION: Final = Meaning("what to do")

MAX_EVERY: Final = 1_000_000
MAX_WANTED: Final = 100_000
MAX_CHANGE_BYTES: Final = 1_000
"""Of what was changed, its value before and after; all three fit into a request."""

_CHANGE: Final = text(max_bytes=MAX_CHANGE_BYTES)


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """Keep the next `wanted` parts of a product, each `every`-th that runs by, or stop keeping them.

    The reply comes when the folder can be written. A request replaces the one before it.
    """

    id: RequestId
    product: Annotated[
        str, name(), Meaning("a folder under the worker's `collected.folder`, made if it is not there")
    ]
    wanted: Annotated[
        int, integer(0, MAX_WANTED), Unit("parts"), Meaning("keep so many from now on; 0 stops")
    ]
    every: Annotated[int, integer(1, MAX_EVERY), Unit("parts"), Meaning("keep one of so many")] = 1
    frames_of: Annotated[
        str,
        text(max_bytes=limits.MAX_NAME_CHARS),
        Meaning("only parts whose frame names this recipe, which the worker need not have; empty: all parts"),
    ] = ""
    op: Annotated[Literal["collect"], one_of(["collect"]), Required(), OPERATION] = "collect"


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """Write who changed what into the worker's ledger. The reply comes when the row is on the disk.

    An entry that the ledger has already, by `entry_id`, changes nothing and is no error.
    """

    id: RequestId
    entry_id: Annotated[
        str,
        REQUEST_ID,
        Meaning("made by the sender, another for each entry; sending an entry again changes nothing"),
    ]
    at_ns: Annotated[int, time_ns(), Unit("ns"), Meaning("CLOCK_REALTIME of the change")]
    who: Annotated[str, text(empty=False), Meaning("the user's name")]
    what: Annotated[str, text(empty=False), Meaning("the kind of change, for example `recipe.threshold`")]
    subject: Annotated[str, _CHANGE, Meaning("what was changed, for example a recipe's name")] = ""
    before: Annotated[str, _CHANGE, Meaning("value before the change; empty if there was none")] = ""
    after: Annotated[str, _CHANGE, Meaning("value after the change; empty without one")] = ""
    op: Annotated[Literal["audit"], one_of(["audit"]), Required(), OPERATION] = "audit"

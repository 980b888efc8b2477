"""Limits of the server, each with its reason."""

from typing import Final

MAX_CHUNK_BYTES: Final = 65_535
"""One message chunk, as offered in the acknowledge."""

MAX_MESSAGE_BYTES: Final = 262_144
"""A request of an activated session: 500 monitored items with long filters. Decoding more would block the loop."""

MAX_SETUP_BYTES: Final = 65_536
"""All bytes of a connection before its session is activated: certificates and endpoint lists are a few kilobytes."""

MAX_PENDING_MESSAGES: Final = 50
"""Message chunks of one connection that wait to be processed. With that many its bytes are left in the socket."""

MAX_UNACTIVATED: Final = 50
"""Connections without an activated session, beyond the sessions that the settings allow."""

ACTIVATION_S: Final = 20.0
"""A connection without an activated session is closed after this time."""

WRITE_LIMIT_S: Final = 10.0
"""A client that does not read what it asked for is cut off after this time."""

MAX_NODES: Final = 1000
"""Nodes in one read, browse, translate, call or monitored item request; also shown as the server's operation limits."""

MIN_PUBLISHING_MS: Final = 10.0
MAX_PUBLISHING_MS: Final = 3_600_000.0
"""Publishing intervals are moved into these bounds. The library takes any, also one that spins."""

MAX_SUBSCRIPTIONS_PER_SESSION: Final = 20
MAX_ITEMS_PER_SUBSCRIPTION: Final = 1000

MAX_QUEUE: Final = 1000
"""Notifications that wait for one monitored item: 50 s at 20 parts a second. The oldest go first."""

MAX_UNACKED: Final = 200
"""Sent notifications of one subscription that are kept for Republish."""

MIN_SESSION_MS: Final = 10_000.0
MAX_SESSION_MS: Final = 3_600_000.0

MAX_SELECT_CLAUSES: Final = 64
MAX_WHERE_ELEMENTS: Final = 32
"""Elements of an event filter, which form a tree; a graph with shared branches takes exponential time."""

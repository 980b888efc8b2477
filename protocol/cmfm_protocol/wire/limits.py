"""Every limit of the wire, with its reason (WIRE.md, limits; a test holds both to the same values).

Decoders check them before they allocate anything; encoders refuse to exceed them.
"""

from typing import Final

PROTOCOL_MAJOR: Final = 1
"""Messages of another major version cannot be read and become FAULTs (`unknown_version`)."""

MAX_HEADER_BYTES: Final = 65_536
"""A frame header needs about 500 bytes; the rest is room for a camera's own keys."""

MAX_ARRAYS: Final = 8
"""Arrays described in one header: a map message has six."""

MAX_SIDE_PX: Final = 8_192
"""Rows or columns of a picture: the longest line cameras with a 3D channel."""

MAX_ARRAY_BYTES: Final = 201_326_592
"""One array: 4096 x 4096 points of three float32, more than any area sensor of today delivers."""

MAX_MESSAGE_BYTES: Final = 268_435_456
"""All frames of one message: 4096 x 4096 pixels at 15 bytes, and room. Also ZMQ_MAXMSGSIZE, which counts each
message frame: one between MAX_ARRAY_BYTES and this gets its FAULT (`oversize`), beyond it the connection is cut."""

MAX_MESSAGE_FRAMES: Final = 2 + MAX_ARRAYS + 1
"""Topic, header, arrays, seal."""

MAX_TEXT_BYTES: Final = 256
"""UTF-8 bytes of any text: ids and one line of detail."""

MAX_NAME_CHARS: Final = 64
"""Names of lines, stations and recipes: they become topics, metric labels and folders."""

NAME_PATTERN: Final = rf"(?!\.)[A-Za-z0-9_.-]{{1,{MAX_NAME_CHARS}}}(?<!\.)"
"""For re.fullmatch. A name is also the name of a folder: "." and ".." lead elsewhere, a dot in front hides a folder,
and some file systems drop one at the end."""

NAME_RULE: Final = (
    f"a name has 1 to {MAX_NAME_CHARS} of A-Z a-z 0-9 _ . - and neither begins nor ends with a dot"
)
"""`NAME_PATTERN` for error messages."""

MAX_REGIONS: Final = 64
"""Defect regions in a result, largest peak first; more would tell nothing more about the part."""

MAX_RESULT_BYTES: Final = 32_768
"""A result with all its regions and the longest texts needs about 10 kB."""

MAX_SOURCES: Final = 64
"""Camera endpoints of one worker."""

MAX_RECIPES: Final = 1_024
"""Recipes named in a worker's state: 11 MB each would fill 11 GB of memory."""

MAX_STATE_BYTES: Final = 262_144
"""A worker's state with MAX_SOURCES and MAX_RECIPES of the longest names needs about 120 kB."""

MAX_REQUEST_BYTES: Final = 4_096
"""A control or recovery request is an operation and a few ids."""

MAX_TRIGGER_BYTES: Final = 4_096
"""A trigger with its longest texts needs about 1500 bytes; the rest is room for a gateway's own keys."""

MAX_RESULTS_PER_REPLY: Final = 500
"""Results in one recovery reply: a page; the next request asks for the next."""

MAX_REPLY_BYTES: Final = 16_777_216
"""One reply: MAX_RESULTS_PER_REPLY results of MAX_RESULT_BYTES, and room."""

MAX_MAP_KEYS: Final = 64
"""Keys of any map: twice what the largest message has; unknown ones are ignored."""

MAX_LIST_ITEMS: Final = 1_024
"""Items of any list, before the list's own limit is checked."""

MAX_COUNT: Final = 9_007_199_254_740_991
"""2^53 - 1, the largest integer that is exact in every language on the line (a PLC's LREAL, JSON)."""

MAX_TIME_NS: Final = 9_223_372_036_854_775_807
"""2^63 - 1: nanoseconds since 1970 until the year 2262, in a signed 64-bit integer."""

MAX_DEADLINE_MS: Final = 86_400_000.0
"""A day: longer than any part stays on a line. The worker cuts deadlines to its own, shorter limit."""

MAP_SIDE_PX: Final = 224
"""Rows and columns of an anomaly map: the resolution of the method (paper, section 4)."""

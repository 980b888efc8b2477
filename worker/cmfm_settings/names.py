"""Names of lines, stations and recipes: each is a part of topics, a metric label or a folder."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator

from cmfm_protocol.wire.limits import NAME_PATTERN, NAME_RULE

_NAME: Final = re.compile(NAME_PATTERN)
_SHOWN_CHARACTERS: Final = 60


def is_name(text: str) -> bool:
    """Tell whether a text is a name by the rule of the wire (`NAME_RULE`)."""
    return _NAME.fullmatch(text) is not None


def _require_name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"{text[:_SHOWN_CHARACTERS]!r}: {NAME_RULE}")
    return text


Name = Annotated[str, AfterValidator(_require_name)]
"""A name that a topic, a header and a folder can all carry."""

"""Section [sparkplug]: the edge node of Sparkplug B 3.0, on the broker of [mqtt]."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from cmfm_settings.section import Section

_ID: Final = re.compile(r"[^+#/\x00-\x1f]{1,64}")


def _require_id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError(f"{text[:60]!r}: 1 to 64 characters, none of + # / and no control character")
    return text


SparkplugId = Annotated[str, AfterValidator(_require_id)]
"""A group, node or host id as Sparkplug allows it in a topic."""


class SparkplugSection(Section):
    """A Sparkplug B edge node, on a connection of its own to the broker of [mqtt]."""

    enabled: bool = Field(False, description="true: publish as an edge node on spBv1.0/<group>/...")
    group: SparkplugId = Field("cmfm", description="Group id, part of every topic.")
    node: SparkplugId = Field("line1", description="Edge node id, unique in its group.")
    primary_host: SparkplugId | None = Field(
        None,
        description="Id of the primary host application. While its STATE is not online, results stay stored and are "
        "sent as historical ones once it is. Without: the broker's presence is enough.",
    )
    commands: bool = Field(
        False,
        description="true: also take recipe changes by NCMD (Node Control/Recipe). Rebirth is always taken.",
    )

"""The section `[log]`, which all programs share."""

from typing import Literal

from pydantic import Field

from cmfm_settings.section import Section


class LogSection(Section):
    """The structured log on stderr."""

    format: Literal["console", "json"] = Field(
        "console", description="console, or json: one object a line, for a log collector."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged: debug, info, warning or error."
    )

"""The section `[sparkplug]`."""

from pydantic import Field

from cmfm_settings.section import Section


class SparkplugSection(Section):
    """Sparkplug B over the same broker as [mqtt]."""

    enabled: bool = Field(False, description="true: run it.")

"""The section about health: metrics and probes over HTTP."""

from pydantic import Field

from cmfm_settings.http_section import HttpSection
from cmfm_settings.section import Seconds


class MetricsSection(HttpSection):
    """Prometheus metrics and Kubernetes probes over HTTP."""

    stalled_after_s: Seconds = Field(
        45.0,
        description="Seconds without a completed turn of the loop, the verdict or the intake thread after which "
        "/livez fails. Must be more than device.hang_limit_s, so that the worker's own FAULTs come first.",
    )

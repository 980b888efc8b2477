"""The section `[metrics]` of every program: HTTP of metrics and probes."""

from typing import Self

from pydantic import Field, model_validator

from cmfm_settings.endpoints import Host, is_local_host
from cmfm_settings.section import Section


class HttpSection(Section):
    """Prometheus metrics and probes over HTTP."""

    host: Host = Field("127.0.0.1", description="Host name or address that HTTP is served on.")
    port: int = Field(
        0,
        ge=0,
        le=65535,
        description="HTTP port of /metrics (Prometheus), /livez and /readyz (Kubernetes). 0: off. Only counts "
        "and states can be read. Kubernetes asks from outside the container: there set host = "
        '"0.0.0.0" and insecure = true.',
    )
    insecure: bool = Field(
        False,
        description="true: allow a host that other hosts can reach. HTTP is never encrypted or authorised here.",
    )

    @model_validator(mode="after")
    def _local_unless_insecure(self) -> Self:
        if self.port and not self.insecure and not is_local_host(self.host):
            raise ValueError(
                f"host = {self.host!r} can be reached from other hosts, and HTTP carries no encryption; "
                "set 127.0.0.1, or write insecure = true under [metrics]"
            )
        return self

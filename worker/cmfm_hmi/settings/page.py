"""The section `[page]`: where the page is served, and its limits."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cmfm_settings.endpoints import Host, is_local_host
from cmfm_settings.section import ConfigPath, Section

TimeOfDay = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class PageSection(Section):
    """Where browsers find the page, and how much they may ask of it."""

    host: Host = Field("127.0.0.1", description="Host name or address that the page is served on.")
    port: int = Field(8080, ge=1, le=65535, description="TCP port of the page.")
    certificate: ConfigPath | None = Field(
        None,
        description='PEM file of the page\'s certificate: with it the page speaks HTTPS alone. "": HTTP.',
    )
    private_key: ConfigPath | None = Field(
        None, description='PEM file of its key, with certificate. "": none.'
    )
    insecure: bool = Field(
        False,
        description="true: serve other hosts without certificate. Passwords and pictures then cross the network in "
        "the clear.",
    )
    names: tuple[Host, ...] = Field(
        (),
        max_length=64,
        description="Names under which browsers reach the page, beside addresses, localhost and this machine's name. "
        "Requests for another name are refused (DNS rebinding).",
    )
    language: Literal["en", "de"] = Field(
        "en",
        description="Language of a browser that asks for neither en nor de. A switch on each page changes it.",
    )
    shifts: tuple[TimeOfDay, ...] = Field(
        ("06:00", "14:00", "22:00"),
        min_length=1,
        max_length=24,
        description="When shifts begin, in the zone of this machine's clock: the live page counts the present one.",
    )
    browsers: int = Field(
        200, ge=1, le=10_000, description="Live pages open at once. One more is told to close another."
    )
    refresh_hz: float = Field(
        10.0,
        ge=0.2,
        le=20,
        allow_inf_nan=False,
        description="Updates of the live page a second, at most. On a faster line it shows the newest part of each.",
    )
    upload_mb: int = Field(
        256, ge=1, le=4096, description="Largest upload in MB: an exported recipe. A larger one is refused."
    )
    store: ConfigPath = Field(
        Path("hmi.sqlite"),
        description="SQLite file of the page: changes on their way to the ledger's audit table, and sessions that "
        "were ended.",
    )

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.certificate is None) is not (self.private_key is None):
            raise ValueError("certificate and private_key belong together; set both, or neither")
        return self

    @model_validator(mode="after")
    def _local_unless_insecure(self) -> Self:
        if not is_local_host(self.host) and self.certificate is None and not self.insecure:
            raise ValueError(
                f"host = {self.host!r} can be reached from other hosts, and HTTP carries no encryption; set "
                "certificate and private_key, listen on 127.0.0.1, or write insecure = true under [page]"
            )
        return self

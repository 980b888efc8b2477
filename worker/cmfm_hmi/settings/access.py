"""The section `[access]`: users, sessions, and when the page may change anything."""

from pathlib import Path

from pydantic import Field

from cmfm_settings.section import ConfigPath, Section


class AccessSection(Section):
    """Who may do what."""

    users: ConfigPath = Field(
        Path("hmi.users"),
        description="File of users with hashed passwords, written by `cmfm-hmi user add NAME --role ROLE`. Roles: "
        "view, operate, teach, administer; each may do what those before it may.",
    )
    anonymous_may_view: bool = Field(
        False, description="true: pages and pictures are shown without login. Changes always need one."
    )
    secret: ConfigPath = Field(
        Path("hmi.secret"),
        description="File of the key that signs cookies, made at the first start. Without the old one everybody logs "
        "in again.",
    )
    session_hours: float = Field(
        12.0, gt=0, le=720, allow_inf_nan=False, description="Hours after which a login ends."
    )
    plc_owns_line: bool = Field(
        False,
        description="true: a PLC owns the line, and the page is read-only until somebody takes the line over.",
    )
    owner: ConfigPath | None = Field(
        None,
        description="File by which cmfm-gateway says whether a PLC owns the line, as [gateway] owner in gateway.toml: "
        'the page is read-only while one does, and while the gateway is silent. "": plc_owns_line alone says it.',
    )
    takeover: ConfigPath | None = Field(
        None,
        description="File that says who took the line over from the PLC, as [gateway] takeover in gateway.toml: while "
        'it is there the gateway is not ready. "": nobody can take over.',
    )

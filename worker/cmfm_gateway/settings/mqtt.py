"""Section [mqtt]: the broker, the topics, and what subscribers may ask for."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from cmfm_settings.endpoints import Host, ServerEndpoint, is_local_host
from cmfm_settings.names import Name
from cmfm_settings.section import ConfigPath, Seconds, Section

ExpirySeconds = Annotated[int, Field(ge=0, le=4_294_967_295)]
"""MQTT counts message expiry in 32 bits."""


class MqttSection(Section):
    """An MQTT 5 broker, for an MES. Results are stored and sent again until the broker acknowledges them."""

    enabled: bool = Field(False, description="true: publish on cmfm/<site>/<line>/...")
    host: Host = Field("127.0.0.1", description="Host name or address of the broker, also for [sparkplug].")
    port: int = Field(1883, ge=1, le=65535, description="TCP port of the broker. With tls usually 8883.")
    site: Name = Field("site1", description="Name of the site, part of every topic.")
    line: Name = Field("line1", description="Name of the line, part of every topic.")
    client_id: str = Field(
        "",
        max_length=64,
        description="Client identifier at the broker, each connection its own. Empty: cmfm-<site>-<line>.",
    )
    user: str = Field("", max_length=256, description="User name at the broker. Empty: none.")
    password_file: ConfigPath | None = Field(
        None,
        description="File whose first line is the user's password. Only its owner may be able to read it.",
    )
    password: SecretStr | None = Field(
        None,
        description="The password itself; set it by the environment (CMFM_GATEWAY_MQTT__PASSWORD), not in a file that "
        "others read. It is never printed.",
    )
    tls: bool = Field(False, description="true: encrypt, and check the broker's certificate and host name.")
    ca_file: ConfigPath | None = Field(
        None, description="Certificates (PEM) that the broker's is signed by. Without: those of the system."
    )
    cert_file: ConfigPath | None = Field(
        None, description="Client certificate (PEM), if the broker asks for one."
    )
    key_file: ConfigPath | None = Field(
        None, description="Private key (PEM) of cert_file, without a passphrase."
    )
    insecure: bool = Field(
        False,
        description="true: allow a broker on another host without tls. Anybody on the way can then read along.",
    )
    keepalive_s: int = Field(
        10, ge=2, le=3600, description="Seconds of silence after which the connection is tested by a ping."
    )
    acknowledge_s: Seconds = Field(
        10.0, description="Seconds for the broker to acknowledge; then the connection counts as broken."
    )
    reconnect_max_s: Seconds = Field(
        30.0, description="Longest pause between two attempts to connect. The first is 0.25 s, each doubles."
    )
    inflight: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Results sent and not yet acknowledged, at most. A broker may allow fewer.",
    )
    result_expiry_s: ExpirySeconds = Field(
        604_800,
        description="Seconds that the broker keeps a result for a subscriber that is away. 0: no limit.",
    )
    state_expiry_s: ExpirySeconds = Field(
        10, description="Seconds after which the retained state vanishes if it is not renewed. 0: never."
    )
    heartbeat_s: Seconds = Field(1.0, description="Period of the state message, in seconds.")
    health_s: Seconds = Field(10.0, description="Period of the health message, in seconds.")
    recipe_requests: bool = Field(
        False,
        description="true: whoever may publish on .../recipe/set can change the recipe. Let the broker's access list "
        "say who that is.",
    )
    pictures: bool = Field(
        False, description="true: answer requests for pictures on .../picture/get (needs archive or maps)."
    )
    archive: ConfigPath | None = Field(
        None, description="The worker's folder of kept parts ([kept] folder), for pictures of rejected parts."
    )
    maps: ServerEndpoint | Literal[""] = Field(
        "",
        description="The worker's maps endpoint, for pictures of the newest rejected parts. Empty: not used.",
    )
    maps_kept: int = Field(
        64, ge=1, le=1024, description="Newest rejected parts whose maps are held in memory, 1 MB each."
    )
    picture_kb: int = Field(
        1024,
        ge=16,
        le=65_536,
        description="Largest picture in kB; a larger one is made smaller before it is sent.",
    )

    @property
    def identifier(self) -> str:
        """The client identifier in force."""
        return self.client_id or f"cmfm-{self.site}-{self.line}"

    @model_validator(mode="after")
    def _encrypted_unless_insecure(self) -> Self:
        if not (self.tls or self.insecure or is_local_host(self.host)):
            raise ValueError(
                f"host = {self.host!r} is another host and the connection is not encrypted; set tls = true, or write "
                "insecure = true under [mqtt]"
            )
        return self

    @model_validator(mode="after")
    def _keys_that_belong_together(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together; name both or neither")
        if not self.tls and (self.ca_file or self.cert_file):
            raise ValueError("ca_file, cert_file and key_file need tls = true")
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file are both set; keep one")
        if not self.user and (self.password is not None or self.password_file is not None):
            raise ValueError("a password needs a user")
        if self.pictures and self.archive is None and not self.maps:
            raise ValueError(
                "pictures = true needs archive (the worker's folder of kept parts) or maps (its endpoint)"
            )
        return self

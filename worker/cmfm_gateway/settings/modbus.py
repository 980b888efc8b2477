"""The section `[modbus]`: Modbus TCP, as a server or as a client of the PLC's own registers."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from cmfm_settings.endpoints import Host, is_local_host
from cmfm_settings.names import Name
from cmfm_settings.section import ConfigPath, Seconds, Section


class ModbusSection(Section):
    """Registers of a vision system over Modbus TCP."""

    enabled: bool = Field(False, description="true: run it.")
    role: Literal["server", "client"] = Field(
        "server",
        description="server: PLCs connect to host and port here. client: the gateway connects to the PLC at host and "
        "port, writes the output registers there and reads the control registers.",
    )
    host: Host = Field("127.0.0.1", description="Host name or address: to listen on, or of the PLC.")
    port: int = Field(
        502,
        ge=1,
        le=65535,
        description="TCP port. Below 1024 the process needs CAP_NET_BIND_SERVICE to listen.",
    )
    insecure: bool = Field(
        False,
        description="true: listen where other hosts reach it without certificate. Modbus has no passwords: anybody "
        "there can acknowledge results and give commands.",
    )
    clients: tuple[Host, ...] = Field(
        (), max_length=64, description="Addresses of the PLCs that may connect. []: any. For the server."
    )
    connections: int = Field(
        16,
        ge=1,
        le=1000,
        description="Connections at once. Beyond that the one that was silent longest is closed. For the server.",
    )
    certificate: ConfigPath | None = Field(
        None,
        description='PEM file of the server\'s certificate: with it only TLS is spoken. "": plain Modbus TCP.',
    )
    private_key: ConfigPath | None = Field(
        None, description='PEM file of its key, with certificate. "": none.'
    )
    client_ca: ConfigPath | None = Field(
        None,
        description='PEM file of the authority that signed the PLCs\' certificates, with certificate. "": clients need '
        "no certificate.",
    )
    word_order: Literal["high_first", "low_first"] = Field(
        "high_first",
        description="Which register of a 32-bit value comes first: high_first (ABCD) or low_first (CDAB).",
    )
    results: Literal["plc", "buffered", "newest"] = Field(
        "plc",
        description="plc: control bit 2 decides, and nothing is shown before the PLC has written its control word. "
        "buffered: results wait in a queue until they are acknowledged. newest: the newest result is shown, for a PLC "
        "that only reads.",
    )
    buffer: int = Field(
        1_000,
        ge=1,
        le=10_000_000,
        description="Results that wait for their acknowledge. Beyond that the oldest are dropped: a bit and a counter.",
    )
    ack_s: Seconds = Field(
        1.0, description="Seconds for an acknowledge to rise, and to fall again. Later ones are an alarm bit."
    )
    max_age_s: Seconds = Field(
        5.0,
        description="Seconds after its arrival for which a verdict is valid. An older one is shown with verdict 0; the "
        "record keeps it.",
    )
    watchdog_s: float = Field(
        2.0,
        ge=0,
        le=86_400,
        description="Seconds in which the PLC must change plc_heartbeat once it has begun to. 0: it is not watched.",
    )
    cameras: tuple[Name, ...] = Field(
        ("camera1",),
        min_length=1,
        max_length=64,
        description="Names of the cameras, as in the worker's line.toml: the first is camera number 1.",
    )
    recipes: dict[Name, int] = Field(
        {},
        description="{ praline = 1, bagel = 2 }: recipe numbers, from 1 to 65535. A recipe without one is 0.",
    )
    gate: Literal["position", "encoder"] = Field(
        "position",
        description="How the block `gate` finds the part at the reject gate. position: gate_trigger less gate_parts. "
        "encoder: the announced trigger whose encoder_argument is gate_counts below gate_encoder.",
    )
    gate_parts: int = Field(
        0, ge=0, le=100_000, description="Parts between photo-eye and reject gate, for gate = position."
    )
    gate_counts: int = Field(
        0,
        ge=0,
        le=2_000_000_000,
        description="Encoder counts between photo-eye and reject gate, for gate = encoder.",
    )
    gate_tolerance: int = Field(
        50,
        ge=0,
        le=1_000_000,
        description="Encoder counts by which a part may be off the gate. Less than half the counts between two parts.",
    )
    period_ms: float = Field(
        10.0,
        ge=1,
        le=1_000,
        description="Milliseconds between two exchanges with the PLC, for role = client.",
    )
    client_control: int = Field(
        0, ge=0, le=65_000, description="Address in the PLC of the first control register, for role = client."
    )
    client_output: int = Field(
        100,
        ge=0,
        le=65_000,
        description="Address in the PLC of the first output register, for role = client.",
    )

    @field_validator("recipes")
    @classmethod
    def _numbers(cls, recipes: dict[str, int]) -> dict[str, int]:
        for name, number in recipes.items():
            if not 1 <= number <= 65_535:
                raise ValueError(f"{name} = {number}: a recipe number is 1 to 65535")
        if len(set(recipes.values())) < len(recipes):
            raise ValueError("two recipes have one number")
        return recipes

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.certificate is None) is not (self.private_key is None):
            raise ValueError("certificate and private_key belong together; set both, or neither")
        if self.client_ca is not None and self.certificate is None:
            raise ValueError("client_ca needs certificate and private_key")
        return self

    @model_validator(mode="after")
    def _local_unless_insecure(self) -> Self:
        exposed = self.enabled and self.role == "server" and not is_local_host(self.host)
        if exposed and self.certificate is None and not self.insecure:
            raise ValueError(
                f"host = {self.host!r} can be reached from other hosts, and Modbus TCP carries no encryption; set "
                "certificate and private_key, listen on 127.0.0.1, or write insecure = true under [modbus]"
            )
        return self

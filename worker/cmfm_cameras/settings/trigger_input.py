"""The sections `[input]`, `[modbus]` and `[gpio]` of trigger.toml: where the photo-eye is."""

from typing import Literal, Self

from pydantic import Field, model_validator

from cmfm_settings.endpoints import Host
from cmfm_settings.section import PositiveMs, Seconds, Section


class InputSection(Section):
    """The digital input of the photo-eye."""

    kind: Literal["modbus", "gpio"] = Field(
        "modbus", description="modbus: an input or a counter behind Modbus TCP. gpio: a line of this machine."
    )
    reopen_max_s: Seconds = Field(
        5.0, description="Longest pause between two attempts to open it. The first is 0.25 s, each doubles."
    )


class ModbusSection(Section):
    """An input of a PLC or I/O module behind Modbus TCP, for kind = modbus."""

    host: Host = Field("127.0.0.1", description="Its host name or address.")
    port: int = Field(502, ge=1, le=65535, description="Its TCP port.")
    unit: int = Field(1, ge=0, le=255, description="Its unit identifier.")
    table: Literal["coil", "discrete_input", "input_register", "holding_register"] = Field(
        "discrete_input",
        description="coil, discrete_input: the level of the photo-eye. input_register, holding_register: a counter of "
        "parts, which loses none between two polls nor while the PLC is away; prefer it.",
    )
    address: int = Field(
        0, ge=0, le=65535, description="Address of the input or of the counter's first register."
    )
    active_low: bool = Field(False, description="true: a part is there while the input is off. For levels.")
    debounce_ms: float = Field(
        2.0, ge=0, le=10_000, description="Milliseconds for which a level must stay before it counts."
    )
    counter_bits: Literal[16, 32] = Field(16, description="Width of the counter, after which it rolls over.")
    word_order: Literal["high_first", "low_first"] = Field(
        "high_first", description="Which register of a counter of 32 bits comes first."
    )
    most_missed: int = Field(
        1000,
        ge=1,
        le=30_000,
        description="Parts between two readings of the counter beyond which it is taken for another count.",
    )
    poll_ms: PositiveMs = Field(
        5.0, description="Milliseconds between two polls. A level must last longer than that."
    )
    reply_s: Seconds = Field(0.5, description="Seconds for a reply; then the connection is made anew.")

    @model_validator(mode="after")
    def _two_registers(self) -> Self:
        if self.table.endswith("register") and self.counter_bits == 32 and self.address > 65534:
            raise ValueError("a counter of 32 bits needs two registers: address is at most 65534")
        return self


class GpioSection(Section):
    """A line of a GPIO chip of this machine (libgpiod), for kind = gpio."""

    chip: str = Field("/dev/gpiochip0", max_length=200, description="Device file of the chip.")
    line: str = Field("0", min_length=1, max_length=64, description="The line: its offset, or its name.")
    active_low: bool = Field(False, description="true: a part is there while the line is low.")
    bias: Literal["as_is", "disabled", "pull_up", "pull_down"] = Field(
        "as_is", description="Resistor of the line: as_is, disabled, pull_up or pull_down."
    )
    debounce_ms: float = Field(
        2.0, ge=0, le=10_000, description="Milliseconds for which the kernel waits for a stable level."
    )
    buffer: int = Field(
        256, ge=16, le=65_536, description="Edges that the kernel keeps while this process is busy."
    )

"""The section `[gateway]`: the store, and what every adapter shares."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from cmfm_gateway.part_numbers import Rule
from cmfm_settings.section import ConfigPath, Section


class GatewaySection(Section):
    """The store of numbered results, and how PLCs see part ids."""

    store: ConfigPath = Field(
        Path("gateway.sqlite"),
        description="SQLite file of the results, numbered, and of what each PLC or broker has confirmed.",
    )
    keep_results: int = Field(
        1_000_000,
        ge=1_000,
        le=1_000_000_000,
        description="Newest results that stay in the store. Older ones stay as long as a PLC or broker has not "
        "confirmed them.",
    )
    max_mb: float = Field(
        4096.0,
        ge=16,
        le=1e9,
        description="Beyond this size in MB the oldest results are deleted even if they were not confirmed. The log "
        "and the metrics say how many.",
    )
    takeover: ConfigPath | None = Field(
        None,
        description="File that cmfm-hmi writes when an operator takes the line over from the PLC, as [access] takeover "
        'in hmi.toml: while it is there no verdict is valid (cause offline). "": nobody can.',
    )
    owner: ConfigPath | None = Field(
        None,
        description="File that says each second whether a PLC owns the line, for [access] owner in hmi.toml: a PLC "
        "that has written the Modbus register control and does not hold set offline, or an OPC UA client with the role "
        'control that is logged in. "": it is not said.',
    )
    part_number: Rule = Field(
        "digits",
        description="How a part_id becomes the 32-bit part number of a PLC. digits: its last run of digits. hash: the "
        "CRC-32 of its bytes. table: looked up in part_table. 0 where the rule gives no number.",
    )
    part_table: ConfigPath | None = Field(
        None, description='File with a line "part_id,number" each, for part_number = "table". "": no file.'
    )

    @model_validator(mode="after")
    def _table_for_its_rule(self) -> Self:
        if self.part_number == "table" and self.part_table is None:
            raise ValueError('part_number = "table" needs part_table')
        return self

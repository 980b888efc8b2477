"""A result as registers: one of the blocks `result`, `part` and `gate`."""

from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from typing import Final

from cmfm_gateway.modbus.registers import BLOCK_REGISTERS
from cmfm_gateway.modbus.words import Image
from cmfm_gateway.reasons import NOT_VALID, REASON_NUMBERS, VERDICT_NUMBERS
from cmfm_gateway.settings.modbus import ModbusSection
from cmfm_gateway.store import StoredResult

STALE, TOO_OLD, SIMULATED, DEADLINE_MET = (1 << bit for bit in range(4))
MM_PER_M: Final = 1000.0
NS_PER_S: Final = 1_000_000_000
CLOCK_STEP_S: Final = 1.0
"""Time by which the clock may be set back without making present results too old."""

_EMPTY: Final = {
    "score": nan,
    "threshold": nan,
    "region_row": nan,
    "region_column": nan,
    "region_area": nan,
    "peak_x": nan,
    "peak_y": nan,
    "peak_z": nan,
}
"""Values of a block without a result; all others are 0."""


@dataclass(frozen=True, slots=True)
class ResultBlocks:
    """Fills blocks by the settings' numbers of cameras, recipes and parts."""

    section: ModbusSection
    part_number: Callable[[str], int]

    def fill(
        self, image: Image, block: str, stored: StoredResult | None, *, line_valid: bool, now_ns: int
    ) -> None:
        """Write a result, or none, into a block. `now_ns` is CLOCK_REALTIME."""
        values = _EMPTY if stored is None else self.values(stored, line_valid=line_valid, now_ns=now_ns)
        for register in BLOCK_REGISTERS[block]:
            image.put(register, values.get(register.name.partition(".")[2], 0))

    def values(self, stored: StoredResult, *, line_valid: bool, now_ns: int) -> dict[str, float]:
        """Return the values by the registers' names. The verdict is 0 unless it may be acted on now."""
        result, section = stored.result, self.section
        too_old = self.is_too_old(stored, now_ns)
        verdict = VERDICT_NUMBERS[result.verdict]
        flags = (
            STALE * stored.stale
            | TOO_OLD * too_old
            | SIMULATED * result.simulated
            | DEADLINE_MET * result.deadline_met
        )
        x, y, z = result.peak_xyz_m or (nan, nan, nan)
        return {
            "result_number": stored.number,
            "part_number": self.part_number(result.part_id),
            "trigger_number": result.seq + 1,
            "camera": section.cameras.index(result.camera) + 1 if result.camera in section.cameras else 0,
            "verdict": verdict if line_valid and not stored.stale and not too_old else NOT_VALID,
            "verdict_on_record": verdict,
            "reason": REASON_NUMBERS[result.reason],
            "recipe_number": section.recipes.get(result.recipe, 0),
            "flags": flags,
            "score": nan if result.score is None else result.score,
            "threshold": nan if result.threshold is None else result.threshold,
            "latency": round(result.latency_us / 1000),
            **_first_region(stored),
            "peak_x": x * MM_PER_M,
            "peak_y": y * MM_PER_M,
            "peak_z": z * MM_PER_M,
        }

    def is_too_old(self, stored: StoredResult, now_ns: int) -> bool:
        """Tell whether a result arrived longer ago than a verdict is valid; also after the clock has been set back."""
        if stored.received_ns is None:
            return True
        age_s = (now_ns - stored.received_ns) / NS_PER_S
        return not -CLOCK_STEP_S <= age_s <= self.section.max_age_s


def _first_region(stored: StoredResult) -> dict[str, float]:
    if not stored.result.regions:
        return {"region_row": nan, "region_column": nan, "region_area": nan}
    region = stored.result.regions[0]
    row0, column0, row1, column1 = region.bbox
    return {
        "region_row": (row0 + row1 - 1) / 2,
        "region_column": (column0 + column1 - 1) / 2,
        "region_area": nan if region.area_mm2 is None else region.area_mm2,
    }

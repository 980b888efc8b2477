"""Fields that the line acts on: part ids, recipes, calibration, `simulated`."""

import re
from collections import Counter
from typing import Final

from cmfm_protocol.wire.limits import NAME_PATTERN
from cmfm_sim.conform.heard import Heard
from cmfm_sim.conform.report_lines import CheckLog, ReportLine, some

_NAME: Final = re.compile(NAME_PATTERN)


class PartCheck:
    """Reads who the parts are and how they are to be inspected."""

    def __init__(self) -> None:
        self._part_log = CheckLog("part_id", "Frame header")
        self._recipe_log = CheckLog("recipe", "Frame header")
        self._calib_log = CheckLog("calib_id", "Frame header")
        self._part_of: dict[str, set[tuple[str, int]]] = {}
        self._calibrations: Counter[str] = Counter()
        self._recipes: Counter[str] = Counter()
        self._simulated = 0
        self._frames = 0

    def frame(self, heard: Heard) -> None:
        """Take a frame."""
        fields = heard.fields
        self._frames += 1
        self._simulated += fields.get("simulated") is True
        if "recipe" in fields:
            self._recipes[fields["recipe"]] += 1
        if "calib_id" in fields:
            self._calibrations[fields["calib_id"]] += 1
        if "part_id" in fields and "seq" in fields:
            key = (fields.get("stream_uuid", ""), fields["seq"])
            self._part_of.setdefault(fields["part_id"], set()).add(key)

    def lines(self) -> list[ReportLine]:
        """The report."""
        if not self._frames:
            return []
        return [*self._parts(), *self._recipe(), *self._calibration()]

    def _parts(self) -> list[ReportLine]:
        empty = self._part_of.get("", ())
        if empty:
            self._part_log.remark(
                f"{len(empty)} of {self._frames} parts have no part_id",
                "always send it: a FAULT without one names no part, and a PLC that matches by part waits in vain",
            )
        repeated = [part for part, keys in self._part_of.items() if part and len(keys) > 1]
        if repeated:
            self._part_log.remark(
                f"part_id of several triggers: {some(repeated)}",
                "a part_id for each part, so that a result names one",
            )
        named = len(self._part_of) - ("" in self._part_of)
        return self._part_log.lines(f"{named} part ids" if named and not empty else "")

    def _recipe(self) -> list[ReportLine]:
        for recipe, count in self._recipes.items():
            if not recipe:
                self._recipe_log.remark(
                    f"{count} frames name no recipe", "the worker takes [recipes] default: is that meant?"
                )
            elif not _NAME.fullmatch(recipe):
                self._recipe_log.fail(
                    f"recipe {recipe!r} can be no recipe's name (FAULT unknown_recipe)",
                    "the name of a folder under [recipes] folder: letters, digits, _ . -",
                )
        if self._simulated:
            self._recipe_log.remark(
                f"{self._simulated} of {self._frames} frames are simulated",
                "results say so too; false for real parts",
            )
        names = [recipe for recipe in self._recipes if recipe]
        return self._recipe_log.lines(some(names))

    def _calibration(self) -> list[ReportLine]:
        named = [calib for calib in self._calibrations if calib]
        if "" in self._calibrations:
            self._calib_log.remark(
                f"{self._calibrations['']} frames have no calib_id",
                "send the name of the calibration: a recipe taught with one makes UNDECIDED of another",
            )
        if len(named) > 1:
            self._calib_log.remark(f"calib_id changes: {some(named)}", "new at each calibration, not oftener")
        return self._calib_log.lines(some(named))

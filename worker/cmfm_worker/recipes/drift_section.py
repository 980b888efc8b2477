"""The table `[drift]` of `recipe.toml`: how recent parts are compared with the nominal ones (docs/calibration.md)."""

from typing import Final, Literal, Self

from pydantic import Field, model_validator

from cmfm_records.nominal import USUAL_LIMIT
from cmfm_worker.recipes.sections import Section

LEAST_PARTS: Final = 50
"""Of fewer parts no shift, however large, has a PSI beyond what chance can give with ten nominal parts."""


class DriftSection(Section):
    """Drift: the line compares the last parts with the nominal parts of the recipe, by score and by coverage."""

    act: Literal["off", "alarm", "undecided"] = Field(
        default="alarm",
        description="alarm: log and metrics say that parts have drifted. undecided: parts that would PASS are in "
        "addition UNDECIDED, drift. off: nothing is compared",
    )
    limit: float = Field(
        default=USUAL_LIMIT,
        gt=0,
        allow_inf_nan=False,
        description="population stability index from which on parts have drifted; few nominal parts raise it to what "
        "chance does not reach",
    )
    window: int = Field(
        default=200, ge=LEAST_PARTS, le=10_000, description="so many of the last parts are compared"
    )
    least_parts: int = Field(
        default=100,
        ge=LEAST_PARTS,
        le=10_000,
        description="with fewer parts since the recipe was loaded nothing is said",
    )

    @model_validator(mode="after")
    def _within_the_window(self) -> Self:
        if self.least_parts > self.window:
            raise ValueError(f"least_parts = {self.least_parts} is more than window = {self.window}")
        return self

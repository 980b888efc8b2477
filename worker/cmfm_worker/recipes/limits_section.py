"""The table `[limits]` of `recipe.toml`: what nominal parts are like, apart from their scores (docs/calibration.md)."""

from typing import Annotated, Final, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from cmfm_worker.recipes.sections import CoverageSection, Finite, Section

ContentReason = Literal["out_of_view", "low_coverage", "unexpected_piece", "high_coverage", "unlike_taught"]
CONTENT_REASONS: Final[tuple[ContentReason, ...]] = get_args(ContentReason)
"""Reasons of UNDECIDED that compare a part with the nominal parts."""


def _ascending(limits: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= limits[0] <= limits[1]:
        raise ValueError(f"a range is two numbers in ascending order, not below 0, and not {limits}")
    return limits


Range = Annotated[tuple[Finite, Finite], AfterValidator(_ascending)]
"""The least and the greatest value that is accepted."""

Pixels = Annotated[int, Field(ge=0)]


class LimitsSection(Section):
    """Limits of what a part may be like. A part outside one of them is UNDECIDED, whatever its score.

    What is absent is not compared. All pixels are those of the 224×224 grid. `[coverage]` has the limits of the part's
    own pixels.
    """

    off: tuple[ContentReason, ...] = Field(
        default=(),
        description=f"reasons that are never given, of {', '.join(CONTENT_REASONS)}; [coverage] included; calibrate "
        "keeps them",
    )
    edge_px: Pixels | None = Field(
        default=None, description="out_of_view: least distance of the part to the edge of the picture"
    )
    field_px: Pixels | None = Field(
        default=None,
        description="out_of_view: least distance of the part to the edge of the field in which the sensor measures",
    )
    pieces: tuple[Pixels, Pixels] | None = Field(
        default=None,
        description="low_coverage, unexpected_piece: least and greatest number of pieces above the tray that have at "
        "least a tenth of the largest one's pixels",
    )
    beside_px: Pixels | None = Field(
        default=None,
        description="unexpected_piece: greatest size of a piece beside the part; of a product in several pieces, of "
        "a piece that is not counted",
    )
    outline_px: Range | None = Field(
        default=None,
        description="low_coverage, high_coverage: area of the part's convex outline, gaps included",
    )
    length_px: Range | None = Field(
        default=None, description="low_coverage, high_coverage: the part's longest extent in any direction"
    )
    filled: Range | None = Field(
        default=None, description="low_coverage, high_coverage: share of the outline that has valid 3D"
    )
    compactness: Range | None = Field(
        default=None,
        description="low_coverage, high_coverage: the part's pixels over the square of its length",
    )
    level: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="unlike_taught: greatest mean of Ψ over the part, before Ψ is divided by it",
    )
    usual_level: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="the median of that mean; tells a defect on an unlike part where [score] has no level_range",
    )
    nominal_parts: int = Field(default=0, ge=0, description="the limits were learned from so many parts")
    expected_rate: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="greatest share of good parts that is expected outside the learned limits, by the model of their "
        "tails",
    )
    left_out_outside: int | None = Field(
        default=None,
        ge=0,
        description="number of the nominal parts that are outside the limits of size and place learned from all others",
    )

    @model_validator(mode="after")
    def _pieces_ascending(self) -> Self:
        if self.pieces is not None and self.pieces[0] > self.pieces[1]:
            raise ValueError(f"pieces must be in ascending order, not {self.pieces}")
        return self

    @property
    def empty(self) -> bool:
        """True if nothing is compared."""
        return all(getattr(self, key) is None for key in LIMIT_KEYS)

    def in_words(self, coverage: CoverageSection) -> dict[str, str]:
        """Return these limits and those of `[coverage]` for people, one a row; reasons that are off say so."""
        rows = {
            "3D coverage": coverage.in_words(),
            "distance to the edge": _least(self.edge_px, "px"),
            "distance to the field's edge": _least(self.field_px, "px"),
            "pieces": "any" if self.pieces is None else f"{self.pieces[0]} to {self.pieces[1]}",
            "largest piece beside": "any" if self.beside_px is None else f"at most {self.beside_px} px",
            "outline": _between(self.outline_px, "px"),
            "length": _between(self.length_px, "px"),
            "outline with 3D": "any"
            if self.filled is None
            else f"{self.filled[0]:.1%} to {self.filled[1]:.1%}",
            "area over length²": (
                "any"
                if self.compactness is None
                else f"{self.compactness[0]:.3f} to {self.compactness[1]:.3f}"
            ),
            "mean Ψ": "any" if self.level is None else f"at most {self.level:.4g}",
        }
        return rows | ({"never given": ", ".join(self.off)} if self.off else {})

    def rate_in_words(self) -> str:
        """Return how many good parts are expected outside the learned limits."""
        if self.expected_rate is None or not self.nominal_parts:
            return "unknown"
        few = "; so few give wide limits" if self.nominal_parts < FEW_PARTS else ""
        parts = f"from {self.nominal_parts} nominal parts{few}"
        known = self.left_out_outside is not None
        seen = f"; each left out in turn, {self.left_out_outside} of them were outside" if known else ""
        return f"at most {self.expected_rate:.1%} of good parts ({parts}{seen})"


FEW_PARTS: Final = 50
"""Fewer nominal parts than these give limits that are clearly wider than the parts themselves differ."""

LIMIT_KEYS: Final = (
    "edge_px",
    "field_px",
    "pieces",
    "beside_px",
    "outline_px",
    "length_px",
    "filled",
    "compactness",
    "level",
)
"""The keys of `LimitsSection` that are compared."""


def _least(limit: int | None, unit: str) -> str:
    return "any" if limit is None else f"at least {limit} {unit}"


def _between(limits: tuple[float, float] | None, unit: str) -> str:
    return "any" if limits is None else f"{limits[0]:.0f} to {limits[1]:.0f} {unit}"

"""The tables of `recipe.toml` (docs/method.md, teaching): frozen, validated, unknown keys are errors."""

import math
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from cmfm_protocol.wire.limits import MAX_TEXT_BYTES
from cmfm_protocol.wire.points import MAX_RANGE_M
from cmfm_settings.error_messages import describe_validation_error
from cmfm_worker.cfm.image.models import timm_name
from cmfm_worker.cfm.scoring import MAP_PX, PAPER_SCORING, SMOOTHING_PX
from cmfm_worker.cfm.variants import Aggregation, Architecture, Modality
from cmfm_worker.errors import InputError

if TYPE_CHECKING:
    from cmfm_worker.cfm.extractor import ExtractorIdentity
    from cmfm_worker.cfm.mapping.pair import MappingPair
    from cmfm_worker.cfm.prepare import BackgroundOptions

MAPPING_FILE: Final = "mapping.safetensors"
UNIT_TOLERANCE: Final = 1e-4  # largest difference from 1 of the length of a rounded unit normal

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[
    str, Field(pattern=r"^[^/]*[^/.][^/]*$", max_length=255)
]  # in the weights folder, no path
Rate = Annotated[float, Field(gt=0, lt=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Section(BaseModel):
    """Base of the tables of `recipe.toml`: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ExtractorSection(Section):
    """The extractor that the mapping was taught on; `sha256` maps a weights file's name to its digest.

    `image` is timm's name of the 2D extractor of `paper`; `lite` and `classic` have none.
    """

    preset: Literal["lite", "classic", "paper"]
    version: str
    blocks: int = 12
    group_size: int = 128
    image: str | None = Field(default=None, validate_default=True)
    sha256: dict[FileName, Sha256] = {}

    @field_validator("image")
    @classmethod
    def _named_for_paper_alone(cls, image: str | None, read: ValidationInfo) -> str | None:
        if (read.data.get("preset") == "paper") != (image is not None):
            raise ValueError("'paper' needs the name of its image extractor, and other presets have none")
        return None if image is None else timm_name(image)

    @classmethod
    def of(cls, identity: "ExtractorIdentity") -> Self:
        """Return the section that records an extractor's identity."""
        return cls(
            preset=identity.preset,
            version=identity.version,
            blocks=identity.blocks,
            group_size=identity.group_size,
            image=identity.image,
            sha256=dict(identity.sha256),
        )


class BackgroundSection(Section):
    """How the tray is separated from the part; see `cfm.prepare.BackgroundOptions`."""

    method: Literal["ransac", "fixed", "none"] = "ransac"
    plane_distance_m: float = Field(default=0.005, gt=0, lt=1)
    clusters: Literal["largest", "all"] = "largest"
    plane: tuple[Finite, Finite, Finite, Finite] | None = Field(
        default=None,
        description="for method fixed: the tray's unit normal, towards the sensor, and offset in metres",
    )

    @model_validator(mode="after")
    def _plane_where_fixed(self) -> Self:
        if (self.method == "fixed") != (self.plane is not None):
            raise ValueError("method 'fixed' needs the tray's plane, and other methods take none")
        if self.plane is not None and abs(math.hypot(*self.plane[:3]) - 1) > UNIT_TOLERANCE:
            raise ValueError(f"plane must be a unit normal and an offset in metres, not {self.plane}")
        return self

    def options(self) -> "BackgroundOptions":
        """Return these options as the method's `BackgroundOptions`."""
        from cmfm_worker.cfm.prepare import BackgroundOptions

        return BackgroundOptions(self.method, self.plane_distance_m, self.clusters, self.plane)


class ScoreSection(Section):
    """How Ψ is computed and reduced to a score.

    `distance`: `angular` is the paper's Eq. 3; `standardised` uses residuals in units of their nominal spread, which
    the networks must have learned; `metric` uses such residuals in a learned metric. `aggregation`: how Ψ is combined;
    the paper multiplies Ψ_2D and Ψ_3D. `smoothing_px`: σ of the Gaussian over Ψ. `highest_px`: the score is the mean
    of so many of the highest pixels of Ψ; with 1 it is the maximum. `normalisation`: `absolute` uses Ψ unchanged,
    `published` uses Ψ / √(mean of the non-zero Ψ). `continue_map`: Ψ is continued into holes and beside the part.
    `level_range`: Ψ is divided by the part's own mean Ψ, held within this range; without it Ψ is not divided.
    `compress_from`: with the score taken, Ψ of a part that scores higher is multiplied by √(compress_from / score).
    """

    normalisation: Literal["absolute", "published"] = "absolute"
    distance: Literal["angular", "standardised", "metric"] = "angular"
    aggregation: Aggregation = "product"
    smoothing_px: float = Field(default=PAPER_SCORING.smoothing_px, ge=SMOOTHING_PX[0], le=SMOOTHING_PX[1])
    highest_px: int = Field(default=PAPER_SCORING.highest_px, ge=1, le=MAP_PX)
    continue_map: bool = PAPER_SCORING.continue_map
    level_range: tuple[Finite, Finite] | None = None
    compress_from: Annotated[Finite, Field(gt=0)] | None = None

    @field_validator("level_range")
    @classmethod
    def _positive_and_ordered(cls, levels: tuple[float, float] | None) -> tuple[float, float] | None:
        if levels is not None and not 0 < levels[0] <= levels[1]:
            raise ValueError(f"level_range must be two positive numbers in ascending order, not {levels}")
        return levels


class ThresholdOrigin(Section):
    """When and from which parts `calibrate` set threshold and limits. For people: the worker does not use it.

    `tail` and `conformal` mean that a limit follows from the requested rate, `given` that a person chose it.
    """

    set_at: str = Field(description="ISO 8601, UTC")
    parts: str = Field(description="the nominal parts: data set, category and split, or a folder's name")
    fail_at: Literal["tail", "conformal", "given"]
    grey_from: Literal["tail", "conformal", "given", "none"] = "none"
    minimum_coverage: Literal["nominal parts", "given"] = "nominal parts"
    device: str = ""
    precision: str = "fp32"
    torch: str = ""
    cmfm: str = ""


class ThresholdSection(Section):
    """The score limits and the data behind them. Without an `origin` they were set with the recipe (`provenance`)."""

    fail_at: Finite = Field(description="a part with at least this score FAILs")
    grey_from: Finite | None = Field(
        default=None, description="a part with at least this score, below fail_at, is UNDECIDED"
    )
    target_false_reject_rate: Rate | None = None
    target_grey_rate: Rate | None = Field(
        default=None, description="share of nominal parts that may in addition be UNDECIDED by score"
    )
    supported_false_reject_rate: Rate | None = Field(
        default=None, description="smallest rate that the validation parts support"
    )
    validation_parts: int = Field(default=0, ge=0)
    validation_scores: tuple[Finite, ...] = ()
    out_of_fold_scores: tuple[Finite, ...] = Field(
        default=(), description="of training parts, by networks that were not fitted on them"
    )
    method: Literal["tail", "conformal", "given"] = Field(
        default="conformal", description="how fail_at follows from the nominal scores"
    )
    rate_interval: tuple[Finite, Finite] | None = Field(
        default=None, description="95 % interval of the share of nominal parts that will FAIL, of method tail"
    )
    origin: ThresholdOrigin | None = None

    @property
    def nominal_scores(self) -> tuple[float, ...]:
        """The scores of all nominal parts behind the threshold."""
        return (*self.validation_scores, *self.out_of_fold_scores)

    @model_validator(mode="after")
    def _grey_below_fail(self) -> Self:
        if self.grey_from is not None and self.grey_from > self.fail_at:
            raise ValueError(f"grey_from = {self.grey_from:g} lies above fail_at = {self.fail_at:g}")
        return self


class CoverageSection(Section):
    """The 3D that a part must show: its foreground pixels (of 224×224) over those of the median nominal part."""

    minimum: float = Field(
        default=0.0, ge=0, le=1, description="a part with a smaller share is UNDECIDED, low_coverage"
    )
    maximum: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="a part with a greater share is UNDECIDED, high_coverage; without it there is no such limit",
    )
    nominal_median_px: int | None = Field(
        default=None, ge=1, description="without it coverage is unknown and not checked"
    )
    nominal: tuple[Finite, ...] = Field(
        default=(), description="coverage of each nominal part; drift of coverage is compared with them"
    )

    def in_words(self) -> str:
        """Return the accepted coverage for people."""
        if self.nominal_median_px is None:
            return "any"
        most = "" if self.maximum is None else f" to {self.maximum:.1%}"
        return f"{'at least ' if not most else ''}{self.minimum:.1%}{most} of {self.nominal_median_px} px"

    @model_validator(mode="after")
    def _minimum_of_something(self) -> Self:
        if (self.minimum > 0 or self.maximum is not None) and self.nominal_median_px is None:
            raise ValueError("minimum and maximum are shares of nominal_median_px, which is missing")
        if self.maximum is not None and self.maximum < self.minimum:
            raise ValueError(f"maximum = {self.maximum:g} lies below minimum = {self.minimum:g}")
        return self


class FrameSection(Section):
    """The frames that the recipe was taught on: what is absent is not compared.

    Features depend on the size of a pixel on the part, so a frame of another size, or from another distance, is another
    product to the networks. The line gives it the FAULT `other_geometry`.
    """

    height_px: int | None = Field(default=None, ge=1)
    width_px: int | None = Field(default=None, ge=1)
    distance_m: float | None = Field(
        default=None, gt=0, lt=MAX_RANGE_M, description="median z of the nominal parts' points"
    )
    distance_tolerance_m: float | None = Field(
        default=None, gt=0, lt=MAX_RANGE_M, description="most difference of a frame's median z"
    )

    @model_validator(mode="after")
    def _in_pairs(self) -> Self:
        for one, other in (("height_px", "width_px"), ("distance_m", "distance_tolerance_m")):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise ValueError(f"{one} and {other} need each other")
        return self

    def in_words(self) -> str:
        """Return the frames that the line accepts, for people."""
        size = "any size" if self.height_px is None else f"{self.width_px}×{self.height_px} pixels"
        if self.distance_m is None:
            return f"{size}, any distance"
        return f"{size}, {self.distance_m:.3g} ± {self.distance_tolerance_m:.2g} m away"

    def difference(self, height_px: int, width_px: int, distance_m: float | None) -> str | None:
        """Return in words how a frame differs from those taught on, or None. `distance_m` None is not compared."""
        if self.height_px is not None and (self.height_px, self.width_px) != (height_px, width_px):
            return f"{width_px}×{height_px} pixels; the recipe was taught on {self.width_px}×{self.height_px}"
        if self.distance_m is None or self.distance_tolerance_m is None or distance_m is None:
            return None
        if abs(distance_m - self.distance_m) <= self.distance_tolerance_m:
            return None
        return (
            f"median distance {distance_m:.3g} m; the recipe was taught at {self.distance_m:.3g} "
            f"± {self.distance_tolerance_m:.2g} m"
        )


class CalibrationSection(Section):
    """The calibration of camera and 3D sensor that the recipe is for.

    If `id` is not empty, the line calls a frame with any other `calib_id` UNDECIDED (`other_calibration`).
    """

    id: str = Field(
        default="", description="as `calib_id` in frame headers; empty: every calibration is accepted"
    )

    @field_validator("id")
    @classmethod
    def _as_on_the_wire(cls, value: str) -> str:
        if not value.isprintable() or len(value.encode()) > MAX_TEXT_BYTES:
            raise ValueError(
                f"no frame can carry it: printable text of at most {MAX_TEXT_BYTES} bytes is needed"
            )
        return value


class ProvenanceSection(Section):
    """When and from which data the recipe was made. For people: the line does not use it."""

    made_by: Literal["fit", "import"]
    fitted_at: str = Field(description="when it was made, ISO 8601, UTC")
    dataset: str = ""
    category: str = ""
    light: int | None = Field(default=None, description="which of Eyecandies' six images was the RGB")
    shots: int | None = None
    left_out: tuple[str, ...] = Field(
        default=(), description="nominal parts that a person left out: neither fitted on nor used for limits"
    )
    seed: int | None = None
    epochs: int | None = None
    train_parts: int = 0
    train_pixels: int = 0
    loss_to_2d: float | None = None
    loss_to_3d: float | None = None
    sources: dict[str, Sha256] = {}
    torch: str = ""
    cmfm: str = ""
    device: str = ""
    precision: str = "fp32"


class MappingSection(Section):
    """The file of both mapping networks, its digest, and the networks' architecture, modality and widths."""

    file: Literal["mapping.safetensors"] = MAPPING_FILE
    sha256: Sha256
    architecture: Architecture
    modality: Modality
    d2: int = Field(ge=1)
    d3: int = Field(ge=1)
    hidden: int = Field(ge=1, description="width that the output layer of the network to 3D reads")

    @classmethod
    def of(cls, mapping: "MappingPair", sha256: str) -> Self:
        """Return the section that records a mapping whose file has this digest."""
        return cls(sha256=sha256, **{key: getattr(mapping, key) for key in NETWORK_KEYS})


NETWORK_KEYS: Final = ("architecture", "modality", "d2", "d3", "hidden")
"""Facts about the networks that both `recipe.toml` and the mapping's file state."""


def calibration_section(calib_id: str) -> CalibrationSection:
    """The section for an id given on a command line. Raises InputError."""
    try:
        return CalibrationSection(id=calib_id)
    except ValidationError as error:
        raise InputError(
            "\n".join(describe_validation_error(error, CalibrationSection, "--calib-id"))
        ) from error


def background_section(**options: Any) -> BackgroundSection:
    """Build the section from options of a command line. Raises InputError naming a wrong one."""
    try:
        return BackgroundSection.model_validate(options)
    except ValidationError as error:
        raise InputError("\n".join(describe_validation_error(error, BackgroundSection, "options"))) from error

"""A recipe: all that is taught for one product (DESIGN § 2, 8).

It is a folder of `recipe.toml` and `mapping.safetensors`. Unknown keys are errors that name the nearest known
one; the mapping's bytes are checked against the sha256 recorded beside them, so that a verdict's `model_sha`
always says which numbers decided.
"""

import hashlib
import json
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
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

from cmfm_worker.cfm.image_models import DINO, timm_name
from cmfm_worker.cfm.variants import Aggregation, Architecture, Modality
from cmfm_worker.errors import InputError
from cmfm_worker.unknown_keys import describe_validation_error

if TYPE_CHECKING:
    from cmfm_worker.cfm.extractor import ExtractorIdentity
    from cmfm_worker.cfm.mapping import MappingPair
    from cmfm_worker.cfm.prepare import BackgroundOptions

FORMAT_VERSION: Final = 1
RECIPE_FILE: Final = "recipe.toml"
MAPPING_FILE: Final = "mapping.safetensors"
UNIT_TOLERANCE: Final = 1e-4  # how far from 1 rounding may leave the length of a normal
NAME_PATTERN: Final = r"^[A-Za-z0-9_.-]{1,64}$"  # recipe names travel in frame headers (WIRE.md)

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[
    str, Field(pattern=r"^[^/]*[^/.][^/]*$", max_length=255)
]  # in the weights folder, no path
Rate = Annotated[float, Field(gt=0, lt=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Section(BaseModel):
    """One table of `recipe.toml`: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ExtractorSection(Section):
    """Which extractor the mapping was taught on; `sha256` maps a weights file's name to its digest.

    `image` is timm's name of the 2D extractor of `paper`, DINO where it is not said; `classic` has none.
    """

    preset: Literal["classic", "paper"]
    version: str
    blocks: int = 12
    group_size: int = 128
    image: str | None = Field(default=None, validate_default=True)
    sha256: dict[FileName, Sha256] = {}

    @field_validator("image")
    @classmethod
    def _named_for_paper_alone(cls, image: str | None, read: ValidationInfo) -> str | None:
        if read.data.get("preset") == "paper":
            return timm_name(DINO if image is None else image)
        if image is not None:
            raise ValueError("only 'paper' has an image extractor to name")
        return None

    @classmethod
    def of(cls, identity: "ExtractorIdentity") -> Self:
        """The section that records an extractor's identity."""
        return cls(
            preset=identity.preset,
            version=identity.version,
            blocks=identity.blocks,
            group_size=identity.group_size,
            image=identity.image,
            sha256=dict(identity.sha256),
        )


class BackgroundSection(Section):
    """How the tray is told from the part; see `cfm.prepare.BackgroundOptions`."""

    method: Literal["ransac", "fixed", "none"] = "ransac"
    plane_distance_m: float = Field(default=0.005, gt=0, lt=1)
    clusters: Literal["largest", "all"] = "largest"
    plane: tuple[Finite, Finite, Finite, Finite] | None = Field(
        default=None,
        description="of method fixed: the tray's unit normal, towards the sensor, and offset in metres",
    )

    @model_validator(mode="after")
    def _plane_where_fixed(self) -> Self:
        if (self.method == "fixed") != (self.plane is not None):
            raise ValueError("method 'fixed' needs the tray's plane, and no other method takes one")
        if self.plane is not None and abs(math.hypot(*self.plane[:3]) - 1) > UNIT_TOLERANCE:
            raise ValueError(f"plane must be a unit normal and an offset in metres, not {self.plane}")
        return self

    def options(self) -> "BackgroundOptions":
        """The same for the method."""
        from cmfm_worker.cfm.prepare import BackgroundOptions

        return BackgroundOptions(self.method, self.plane_distance_m, self.clusters, self.plane)


class ScoreSection(Section):
    """How Ψ is measured and becomes one number.

    `distance`: `angular` is the paper's Eq. 3, `standardised` takes residuals in units of their nominal spread, which
    the networks must have learned. `normalisation`: `absolute` is max Ψ, `published` is max(Ψ / √(mean of the non-zero
    Ψ)). `aggregation`: what Ψ is made of; the paper multiplies Ψ_2D and Ψ_3D.
    """

    normalisation: Literal["absolute", "published"] = "absolute"
    distance: Literal["angular", "standardised"] = "angular"
    aggregation: Aggregation = "product"


class ThresholdOrigin(Section):
    """When and from what `calibrate` set threshold and coverage; for people, the worker does not act on it.

    `conformal` says that a limit follows from the rate asked for, `given` that a person chose it.
    """

    set_at: str = Field(description="ISO 8601, UTC")
    parts: str = Field(description="the nominal parts: data set, category and split, or a folder's name")
    fail_at: Literal["conformal", "given"]
    grey_from: Literal["conformal", "given", "none"] = "none"
    minimum_coverage: Literal["least nominal", "given"] = "least nominal"
    device: str = ""
    precision: str = "fp32"
    torch: str = ""
    cmfm: str = ""


class ThresholdSection(Section):
    """When a part fails, and the data behind it. Without an `origin`, `provenance` says where it comes from."""

    fail_at: Finite = Field(description="score from which on a part FAILs")
    grey_from: Finite | None = Field(
        default=None, description="score from which on, up to fail_at, a part is UNDECIDED"
    )
    target_false_reject_rate: Rate | None = None
    target_grey_rate: Rate | None = Field(
        default=None, description="share of nominal parts that may be UNDECIDED by their score, besides"
    )
    supported_false_reject_rate: Rate | None = Field(
        default=None, description="smallest rate that so many parts support"
    )
    validation_parts: int = Field(default=0, ge=0)
    validation_scores: tuple[Finite, ...] = ()
    origin: ThresholdOrigin | None = None

    @model_validator(mode="after")
    def _grey_below_fail(self) -> Self:
        if self.grey_from is not None and self.grey_from > self.fail_at:
            raise ValueError(f"grey_from = {self.grey_from:g} lies above fail_at = {self.fail_at:g}")
        return self


class CoverageSection(Section):
    """How much 3D a part must show: foreground pixels (of 224×224) over those of the median nominal part."""

    minimum: float = Field(default=0.0, ge=0, le=1, description="share below which a part is UNDECIDED")
    nominal_median_px: int | None = Field(
        default=None, ge=1, description="absent: coverage is not known and not checked"
    )

    @model_validator(mode="after")
    def _minimum_of_something(self) -> Self:
        if self.minimum > 0 and self.nominal_median_px is None:
            raise ValueError("minimum is a share of nominal_median_px, which is missing")
        return self


class CalibrationSection(Section):
    """Which calibration of camera and 3D sensor the parts were recorded under."""

    id: str = Field(default="", max_length=256)


class ProvenanceSection(Section):
    """When and from what the recipe was made; for people, the worker does not act on it."""

    made_by: Literal["fit", "import"]
    fitted_at: str = Field(description="when it was made, ISO 8601, UTC")
    dataset: str = ""
    category: str = ""
    light: int | None = Field(default=None, description="which of Eyecandies' six images was the RGB")
    shots: int | None = None
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
    """The file of both mapping networks, its digest, what they are and their widths.

    What they are is part of the file's digest as well; recipes from before there was a choice do not say it.
    """

    file: Literal["mapping.safetensors"] = MAPPING_FILE
    sha256: Sha256
    architecture: Architecture = "mlp"
    modality: Modality = "cross"
    d2: int = Field(ge=1)
    d3: int = Field(ge=1)
    hidden: int = Field(ge=1, description="width that the output layer of the network to 3D reads")

    @classmethod
    def of(cls, mapping: "MappingPair", sha256: str) -> Self:
        """The section that records a mapping whose file has this digest."""
        return cls(sha256=sha256, **{key: getattr(mapping, key) for key in _OF_THE_NETWORKS})


_OF_THE_NETWORKS: Final = ("architecture", "modality", "d2", "d3", "hidden")


class RecipeDraft(Section):
    """A recipe before its mapping is written."""

    format_version: Literal[1] = FORMAT_VERSION
    name: str = Field(pattern=NAME_PATTERN)
    extractor: ExtractorSection
    background: BackgroundSection = BackgroundSection()
    score: ScoreSection = ScoreSection()
    threshold: ThresholdSection | None = None
    coverage: CoverageSection = CoverageSection()
    calibration: CalibrationSection = CalibrationSection()
    provenance: ProvenanceSection


class Recipe(RecipeDraft):
    """The contents of `recipe.toml`. Without a threshold parts can be scored, but the line refuses it."""

    mapping: MappingSection

    @property
    def threshold_precision(self) -> str:
        """Precision of the products by which the threshold was set."""
        origin = self.threshold.origin if self.threshold else None
        return origin.precision if origin else self.provenance.precision

    @property
    def model_sha(self) -> str:
        """sha256 over all that decides the maps and the score: mapping, extractor, background, score."""
        parts = ("extractor", "background", "score")
        # Keys that came later leave older recipes their identity: what a recipe does not have is left out.
        deciding = {part: getattr(self, part).model_dump(mode="json", exclude_none=True) for part in parts}
        if self.score.distance == "angular":  # the only one there was before there were two
            del deciding["score"]["distance"]
        if self.extractor.image == DINO:  # the same
            del deciding["extractor"]["image"]
        deciding["mapping"] = self.mapping.sha256
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class LoadedRecipe:
    """A recipe read from `folder`, its networks on the CPU.

    `recipe_sha` is the sha256 of the bytes of `recipe.toml`, threshold included; "" where it is not as read.
    """

    recipe: Recipe
    mapping: "MappingPair"
    model_sha: str
    folder: Path
    recipe_sha: str = ""

    def with_background(
        self, method: str | None = None, plane_distance_m: float | None = None, clusters: str | None = None
    ) -> "LoadedRecipe":
        """The same with some background options replaced (None: the recipe's); its model_sha is another.

        Raises InputError naming an option that is not one.
        """
        given = {"method": method, "plane_distance_m": plane_distance_m, "clusters": clusters}
        table = self.recipe.background.model_dump() | {k: v for k, v in given.items() if v is not None}
        if table["method"] != "fixed":
            table["plane"] = None
        recipe = self.recipe.model_copy(update={"background": background_section(**table)})
        return LoadedRecipe(recipe, self.mapping, recipe.model_sha, self.folder)


def background_section(**options: Any) -> BackgroundSection:
    """Background options as given on a command line. Raises InputError naming the one that is wrong."""
    try:
        return BackgroundSection.model_validate(options)
    except ValidationError as error:
        raise InputError("\n".join(describe_validation_error(error, BackgroundSection, "options"))) from error


def load_recipe(folder: Path) -> LoadedRecipe:
    """Read and check a recipe. Raises InputError naming the file and key."""
    from cmfm_worker.cfm.mapping_files import load_safetensors
    from cmfm_worker.cfm.weights import WeightsError, sha256_file

    recipe, recipe_sha = _read_recipe(folder)
    path = folder / recipe.mapping.file
    try:
        found = sha256_file(path)
        if found != recipe.mapping.sha256:
            raise InputError(f"{path}: not the recipe's mapping, sha256 {found} is not that of {RECIPE_FILE}")
        mapping = load_safetensors(path)
    except WeightsError as error:
        raise InputError(str(error)) from error
    for key in _OF_THE_NETWORKS:
        recorded, in_file = getattr(recipe.mapping, key), getattr(mapping, key)
        if recorded != in_file:
            raise InputError(
                f"{folder / RECIPE_FILE}: mapping.{key} is {recorded}, {path.name} has {in_file}"
            )
    if recipe.score.distance == "standardised" and not mapping.has_spreads:
        raise InputError(
            f"{folder / RECIPE_FILE}: score.distance is 'standardised', but the networks in {path.name} "
            "have learned no spreads; teach the recipe again, or say 'angular'"
        )
    return LoadedRecipe(recipe, mapping, recipe.model_sha, folder, recipe_sha)


def read_recipe_file(folder: Path) -> Recipe:
    """Read and validate `recipe.toml` alone. Raises InputError naming the file and every wrong key."""
    return _read_recipe(folder)[0]


def _read_recipe(folder: Path) -> tuple[Recipe, str]:
    """`recipe.toml` and the sha256 of its bytes, from one reading."""
    path = folder / RECIPE_FILE
    table, sha256 = _read_toml(folder, path)
    version = table.get("format_version")
    if version != FORMAT_VERSION:
        raise InputError(f"{path}: format_version is {version!r}, this cmfm reads {FORMAT_VERSION}")
    try:
        return Recipe.model_validate(table), sha256
    except ValidationError as error:
        raise InputError("\n".join(describe_validation_error(error, Recipe, str(path)))) from error


def _read_toml(folder: Path, path: Path) -> tuple[dict[str, Any], str]:
    if not folder.is_dir():
        raise InputError(f"{folder}: {'not a folder' if folder.exists() else 'no such recipe folder'}")
    try:
        content = path.read_bytes()
        return tomllib.loads(content.decode("utf-8")), hashlib.sha256(content).hexdigest()
    except FileNotFoundError:
        raise InputError(f"{folder}: not a recipe, it has no {RECIPE_FILE}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: cannot be read as TOML: {error}") from error

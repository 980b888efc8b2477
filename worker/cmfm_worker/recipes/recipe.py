"""A recipe: all that is taught for one product (docs/method.md, teaching).

It is a folder with `recipe.toml` and `mapping.safetensors`. An unknown key is an error that names the nearest known
one. The mapping's bytes are checked against the sha256 in `recipe.toml`, so a verdict's `model_sha` identifies the
numbers that decided.
"""

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import ValidationError

from cmfm_settings.error_messages import describe_validation_error
from cmfm_settings.names import Name
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.drift_section import DriftSection
from cmfm_worker.recipes.limits_section import LimitsSection
from cmfm_worker.recipes.sections import (
    NETWORK_KEYS,
    BackgroundSection,
    CalibrationSection,
    CoverageSection,
    ExtractorSection,
    FrameSection,
    MappingSection,
    ProvenanceSection,
    ScoreSection,
    Section,
    ThresholdSection,
    background_section,
)

if TYPE_CHECKING:
    from cmfm_worker.cfm.mapping.pair import MappingPair

FORMAT_VERSION: Final = 1
RECIPE_FILE: Final = "recipe.toml"


class RecipeDraft(Section):
    """A recipe before its mapping is written."""

    format_version: Literal[1] = FORMAT_VERSION
    name: Name
    extractor: ExtractorSection
    background: BackgroundSection = BackgroundSection()
    score: ScoreSection = ScoreSection()
    threshold: ThresholdSection | None = None
    coverage: CoverageSection = CoverageSection()
    limits: LimitsSection = LimitsSection()
    frame: FrameSection = FrameSection()
    calibration: CalibrationSection = CalibrationSection()
    drift: DriftSection = DriftSection()
    provenance: ProvenanceSection


class Recipe(RecipeDraft):
    """The contents of `recipe.toml`. Without a threshold a recipe can score parts, but the line refuses it."""

    mapping: MappingSection

    @property
    def threshold_precision(self) -> str:
        """Precision of the matrix products with which the threshold was set."""
        origin = self.threshold.origin if self.threshold else None
        return origin.precision if origin else self.provenance.precision

    @property
    def model_sha(self) -> str:
        """sha256 over everything that decides the maps and the score: mapping, extractor, background, score."""
        deciding = self.model_dump(mode="json", include={"extractor", "background", "score"})
        if self.score.compress_from is None:  # the key is younger than the sha of recipes without it
            del deciding["score"]["compress_from"]
        deciding["mapping"] = self.mapping.sha256
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class LoadedRecipe:
    """A recipe read from `folder`, its networks on the CPU.

    `recipe_sha` is the sha256 of the bytes of `recipe.toml`, threshold included; "" for a recipe changed since.
    """

    recipe: Recipe
    mapping: "MappingPair"
    model_sha: str
    folder: Path
    recipe_sha: str = ""

    def with_background(
        self, method: str | None = None, plane_distance_m: float | None = None, clusters: str | None = None
    ) -> "LoadedRecipe":
        """Return a copy with some background options replaced (None keeps the recipe's) and its own model_sha.

        Raises InputError naming an invalid option.
        """
        given = {"method": method, "plane_distance_m": plane_distance_m, "clusters": clusters}
        table = self.recipe.background.model_dump() | {k: v for k, v in given.items() if v is not None}
        if table["method"] != "fixed":
            table["plane"] = None
        recipe = self.recipe.model_copy(update={"background": background_section(**table)})
        return LoadedRecipe(recipe, self.mapping, recipe.model_sha, self.folder)


def load_recipe(folder: Path) -> LoadedRecipe:
    """Read and check a recipe. Raises InputError naming the file and key."""
    from cmfm_worker.cfm.mapping.files import load_safetensors
    from cmfm_worker.cfm.weights import WeightsError, sha256_file

    recipe, recipe_sha = _read_recipe(folder)
    path = folder / recipe.mapping.file
    try:
        found = sha256_file(path)
        if found != recipe.mapping.sha256:
            raise InputError(
                f"{path}: not the recipe's mapping; its sha256 is {found}, {RECIPE_FILE} says {recipe.mapping.sha256}"
            )
        mapping = load_safetensors(path)
    except WeightsError as error:
        raise InputError(str(error)) from error
    for key in NETWORK_KEYS:
        recorded, in_file = getattr(recipe.mapping, key), getattr(mapping, key)
        if recorded != in_file:
            raise InputError(
                f"{folder / RECIPE_FILE}: mapping.{key} is {recorded}, {path.name} has {in_file}"
            )
    if recipe.score.distance != "angular" and not mapping.has_spreads:
        raise InputError(
            f"{folder / RECIPE_FILE}: score.distance is {recipe.score.distance!r}, but the networks in {path.name} "
            "have learned no spreads; teach the recipe again, or set 'angular'"
        )
    if recipe.score.distance == "metric" and mapping.metric is None:
        raise InputError(
            f"{folder / RECIPE_FILE}: score.distance is 'metric', but {path.name} holds no metric; teach the recipe "
            "again, or set 'standardised'"
        )
    return LoadedRecipe(recipe, mapping, recipe.model_sha, folder, recipe_sha)


def read_recipe_file(folder: Path) -> Recipe:
    """Read and validate `recipe.toml` only. Raises InputError naming the file and every wrong key."""
    return _read_recipe(folder)[0]


def _read_recipe(folder: Path) -> tuple[Recipe, str]:
    """Return the recipe and the sha256 of the bytes of `recipe.toml`, both from one read of the file."""
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
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise InputError(f"{path}: not a file")
    try:
        content = path.read_bytes()
        return tomllib.loads(content.decode("utf-8-sig")), hashlib.sha256(content).hexdigest()
    except FileNotFoundError:
        raise InputError(f"{folder}: not a recipe, it has no {RECIPE_FILE}") from None
    except (OSError, ValueError, RecursionError) as error:  # also a number of 5,000 digits, or deep nesting
        raise InputError(f"{path}: cannot be read as TOML: {error}") from error

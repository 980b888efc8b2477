"""Recipes: their files, thresholds and weights, and whether they were taught for what this machine computes."""

from typing import Final

from cmfm_records.ledger import Question, open_ledger
from cmfm_worker.cfm.fast.precision import Precision
from cmfm_worker.cfm.image.models import DINO
from cmfm_worker.cfm.lite.weights import find_weights_file
from cmfm_worker.cfm.weights import POINT_MAE, WeightsError, find_weights, weights_identity
from cmfm_worker.doctor.findings import Check, Finding, Findings
from cmfm_worker.doctor.visit import Visit
from cmfm_worker.errors import InputError
from cmfm_worker.line.compute.device import choose_device, choose_precision
from cmfm_worker.recipes.recipe import LoadedRecipe, Recipe, load_recipe
from cmfm_worker.recipes.recipe_path import recipe_names, recipe_path
from cmfm_worker.settings.model import Settings

CHECK: Final = Check("recipes")
TEACH: Final = "teach one with `cmfm-worker fit`"
COLLECT: Final = "teach the first one while good parts run by: `cmfm-worker collect`, then `teach`"
CALIBRATE: Final = "set it from good parts with `cmfm-worker calibrate`"
NEWEST_ROWS: Final = 200


def check_recipes(visit: Visit) -> Findings:
    """Look at each recipe that the line loads, and at those that a running worker has loaded."""
    settings = visit.settings
    may_be_empty = settings.recipes.may_be_empty and not settings.recipes.names
    if may_be_empty and not settings.recipes.folder.exists():
        return [CHECK.note(f"{settings.recipes.folder}: no recipes yet ([recipes] may_be_empty)", COLLECT)]
    try:
        names = list(settings.recipes.names) or recipe_names(settings.recipes.folder)
    except InputError as error:
        return [CHECK.to_do(str(error), f"set [recipes] folder, or {TEACH}")]
    if not names and may_be_empty:
        return [CHECK.note(f"{settings.recipes.folder}: no recipes yet ([recipes] may_be_empty)", COLLECT)]
    if not names:
        return [CHECK.to_do(f"{settings.recipes.folder}: no recipes", TEACH)]
    precision = line_precision(settings)
    found = [finding for name in names for finding in recipe_findings(name, settings, precision)]
    if settings.recipes.default and settings.recipes.default not in names:
        found.append(
            CHECK.to_do(
                f"recipes.default = {settings.recipes.default!r} is not among the recipes",
                "correct it in line.toml",
            )
        )
    return [*found, *_in_use(visit, names)]


def line_precision(settings: Settings) -> Precision:
    """Return the precision that the line computes in. Raises InputError."""
    return choose_precision(settings.device.precision, choose_device(settings.device.name))


def recipe_findings(name: str, settings: Settings, precision: Precision) -> Findings:
    """Look at one recipe: hashes of its files and weights, threshold, limits, precision."""
    try:
        loaded = load_recipe(recipe_path(settings.recipes.folder, name))
    except InputError as error:
        return [CHECK.to_do(f"{name}: {error}", "restore the recipe's folder from a copy, or teach it again")]
    found = [*_threshold(name, loaded.recipe), *_weights(name, loaded.recipe, settings)]
    found += _precision(name, loaded.recipe, precision)
    return found or [CHECK.good(_in_words(name, loaded))]


def _in_words(name: str, loaded: LoadedRecipe) -> str:
    threshold = loaded.recipe.threshold
    fail_at = "" if threshold is None else f", FAIL at {threshold.fail_at:.4f}"
    preset = loaded.recipe.extractor.preset
    return f"{name}: {preset}{fail_at}, mapping and weights are those of the recipe ({loaded.model_sha[:12]})"


def _threshold(name: str, recipe: Recipe) -> list[Finding]:
    if recipe.threshold is None:
        return [CHECK.to_do(f"{name}: no threshold, so it cannot decide anything", CALIBRATE)]
    if recipe.limits.empty:
        return [
            CHECK.to_do(
                f"{name}: no limits: parts out of view, with pieces missing or beside them can PASS",
                CALIBRATE,
            )
        ]
    return []


def _weights(name: str, recipe: Recipe, settings: Settings) -> list[Finding]:
    """Compare the weights of the extractors with those that the recipe was taught on."""
    try:
        found = _hashes(recipe, settings)
    except (WeightsError, ValueError) as error:
        return [CHECK.to_do(f"{name}: {error}", "`cmfm-worker weights list` says where the files come from")]
    other = set(recipe.extractor.sha256.values()) - found
    if not other:
        return []
    files = ", ".join(file for file, sha256 in recipe.extractor.sha256.items() if sha256 in other)
    return [
        CHECK.to_do(
            f"{name}: {files} here is another file than the recipe was taught on (sha256 differs)",
            f"put the file of then into {settings.weights.folder}, or teach the recipe again",
        )
    ]


def _hashes(recipe: Recipe, settings: Settings) -> set[str]:
    """Return the sha256 of the installed weights that a recipe needs. Raises WeightsError, ValueError."""
    if recipe.extractor.preset == "lite":
        return {weights_identity(find_weights_file())[1]}
    if recipe.extractor.preset == "classic":
        return set()
    kinds = (recipe.extractor.image or DINO, POINT_MAE)
    return {weights_identity(find_weights(settings.weights.folder, kind))[1] for kind in kinds}


def _precision(name: str, recipe: Recipe, precision: Precision) -> list[Finding]:
    taught = recipe.threshold_precision
    if recipe.threshold is None or recipe.extractor.preset == "classic" or taught == precision:
        return []
    return [
        CHECK.to_do(
            f"{name}: its threshold was set in {taught}, and this line computes in {precision}: scores differ a little",
            f'set [device] precision = "{taught}", or {CALIBRATE}',
        )
    ]


def _in_use(visit: Visit, names: list[str]) -> list[Finding]:
    """Compare the folder with what a running worker has loaded and decides by."""
    state = visit.worker.state if visit.worker else None
    if state is None:
        return []
    reload = "`systemctl reload cmfm-worker` loads the recipes again without losing a part"
    found = [
        CHECK.to_do(f"{name}: the running worker has not loaded it", reload)
        for name in names
        if name not in state.recipes
    ]
    for name, sha in _decided_by(visit, state.boot_id).items():
        folder = visit.settings.recipes.folder / name
        if name in names and folder.is_dir() and load_recipe(folder).recipe_sha != sha:
            found.append(
                CHECK.to_do(
                    f"{name}: recipe.toml has changed since the worker loaded it; it decides by the former one",
                    f"{reload}, or restore the file",
                )
            )
    return found


def _decided_by(visit: Visit, boot_id: str) -> dict[str, str]:
    """Return recipe → sha256 of the recipe.toml that decided its newest part of this boot."""
    path = visit.settings.ledger.path
    if path is None or not path.is_file():
        return {}
    with open_ledger(path) as reader:
        rows = list(reader.rows(Question(boot=boot_id, limit=NEWEST_ROWS)))
    default = visit.settings.recipes.default
    return {str(row["recipe"] or default): str(row["recipe_sha"]) for row in rows if row["recipe_sha"]}

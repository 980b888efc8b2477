"""Frame sizes: what recipes were taught on, what cameras sent lately, and what the worker is set up for."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from cmfm_records.archived_part import part_folders, read_facts
from cmfm_records.ledger import Question, open_ledger
from cmfm_worker.doctor.findings import Check, Finding, Findings
from cmfm_worker.doctor.visit import Visit
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.recipe import Recipe, read_recipe_file
from cmfm_worker.recipes.recipe_path import recipe_names, recipe_path
from cmfm_worker.settings.model import Settings

CHECK: Final = Check("frames")
NEWEST_PARTS: Final = 50
NEWEST_ROWS: Final = 1000
GEOMETRY: Final = ("other_geometry", "size_mismatch", "oversize", "implausible_3d")
"""Reasons of FAULTs by which a camera's size, distance or unit shows."""


class Size(NamedTuple):
    """Height and width in pixels."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width}×{self.height}"


def check_frames(visit: Visit) -> Findings:
    """Compare the sizes that recipes, cameras and settings name."""
    settings = visit.settings
    recipes = readable_recipes(settings)
    found = [
        finding for name, recipe in recipes.items() for finding in settings_findings(name, recipe, settings)
    ]
    folders = part_folders(settings.kept.folder)[-NEWEST_PARTS:]
    found += sent_findings(sizes_sent(folders, settings.recipes.default), recipes)
    return [*found, *_fault_findings(settings.ledger.path)]


def readable_recipes(settings: Settings) -> dict[str, Recipe]:
    """Return the line's recipes by name. Those that cannot be read are left out: another check names them."""
    recipes: dict[str, Recipe] = {}
    try:
        names = settings.recipes.names or recipe_names(settings.recipes.folder)
    except InputError:
        return recipes
    for name in names:
        try:
            recipes[name] = read_recipe_file(recipe_path(settings.recipes.folder, name))
        except InputError:
            continue
    return recipes


def taught_size(recipe: Recipe) -> Size | None:
    """Return the only size that a recipe accepts, None if it accepts any."""
    height, width = recipe.frame.height_px, recipe.frame.width_px
    return None if height is None or width is None else Size(height, width)


def settings_findings(name: str, recipe: Recipe, settings: Settings) -> list[Finding]:
    """Compare a recipe's size with what the worker's memory and warm-up are set up for."""
    size = taught_size(recipe)
    if size is None:
        return []
    pixels = size.height * size.width
    if pixels > settings.ring.max_pixels:
        return [
            CHECK.to_do(
                f"{name}: taught on {size} pixels; [ring] max_pixels = {settings.ring.max_pixels} makes every such "
                "frame a FAULT oversize",
                f"set [ring] max_pixels to at least {pixels}",
            )
        ]
    if pixels > settings.device.expected_pixels:
        return [
            CHECK.note(
                f"{name}: taught on {size} pixels; memory is taken for {settings.device.expected_pixels} pixels",
                f"set [device] warmup_px = [[{size.height}, {size.width}]], so that a backlog needs no more of it",
            )
        ]
    return []


def sizes_sent(folders: Iterable[Path], default: str) -> dict[str, Counter[Size]]:
    """Return recipe → sizes of the archived parts, with their numbers. Folders that are no parts are skipped."""
    sizes: dict[str, Counter[Size]] = {}
    for folder in folders:
        try:
            facts = read_facts(folder)
        except InputError:
            continue
        size = _size_of(facts)
        if size is not None:
            sizes.setdefault(str(facts["recipe"] or default), Counter())[size] += 1
    return sizes


def _size_of(facts: Mapping[str, Any]) -> Size | None:
    size = facts.get("size_px")
    if isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size):
        return Size(*size)
    return None


def sent_findings(sent: Mapping[str, Counter[Size]], recipes: Mapping[str, Recipe]) -> list[Finding]:
    """Compare the sizes of the newest archived parts with those that their recipes were taught on."""
    found = []
    for name, sizes in sent.items():
        taught = taught_size(recipes[name]) if name in recipes else None
        others = {size: count for size, count in sizes.items() if taught is not None and size != taught}
        if others:
            listed = ", ".join(f"{count} of {size}" for size, count in others.items())
            found.append(
                CHECK.to_do(
                    f"{name}: taught on {taught} pixels; of the newest archived parts {listed}",
                    "restore the camera's region of interest, or teach the recipe again",
                )
            )
        elif taught is not None:
            found.append(CHECK.good(f"{name}: {taught} pixels, as the {sizes.total()} newest archived parts"))
    if found:
        return found
    taught_on = ", ".join(
        f"{name} {size}" for name, recipe in recipes.items() if (size := taught_size(recipe))
    )
    if not taught_on:
        return [CHECK.note("no recipe names a frame size: every size is accepted")]
    return [CHECK.note(f"taught on: {taught_on}; no archived part shows what the cameras send")]


def _fault_findings(ledger: Path | None) -> list[Finding]:
    """Count the newest FAULTs by which another geometry shows."""
    if ledger is None or not ledger.is_file():
        return []
    with open_ledger(ledger) as reader:
        reasons = Counter(str(row["reason"]) for row in reader.rows(Question(limit=NEWEST_ROWS)))
    counts = {reason: reasons[reason] for reason in GEOMETRY if reasons[reason]}
    if not counts:
        return []
    listed = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    return [
        CHECK.to_do(
            f"of the newest {reasons.total()} parts in the ledger: {listed}",
            "the runbook's table of reasons says what to look at: region of interest, distance, unit",
        )
    ]

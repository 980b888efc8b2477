"""Which nominal parts `calibrate` may set limits from: parts that the mapping was not fitted on.

Scores of parts that were fitted on are lower than those of new parts, and so would be every threshold from them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cmfm_protocol.files.dataset import (
    DEFAULT_LIGHT,
    DatasetError,
    Layout,
    PartFiles,
    has_split,
    list_nominal_folder,
    list_parts,
    read_part,
)
from cmfm_worker.datasets.scored import Progress
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.recipe import Recipe
from cmfm_worker.teaching.which_parts import choose_parts

Split = Literal["validation", "train"]

_BRING_OTHERS = "bring parts that it was not fitted on with --nominal FOLDER"


@dataclass(frozen=True, slots=True)
class NominalParts:
    """Parts to set limits from, where they come from (without the paths of a machine), and what to say about them."""

    parts: tuple[PartFiles, ...]
    source: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CategoryAt:
    """A category of a data set, and how it is read (`cmfm_protocol.files.dataset.list_parts`)."""

    root: Path
    name: str
    layout: Layout = "mvtec3d"
    light: int = DEFAULT_LIGHT

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.root / self.name

    def has(self, split: str) -> bool:
        """Whether the split is there."""
        return has_split(self.root, self.name, split, self.layout)

    def parts(self, split: str) -> list[PartFiles]:
        """The parts of a split. Raises DatasetError."""
        return list_parts(self.root, self.name, split, self.layout, light=self.light)


def choose(category: CategoryAt | None, split: Split, folder: Path | None, recipe: Recipe) -> NominalParts:
    """The parts of a folder where one is given, else of a split; of `train` those that were not fitted on.

    Raises DatasetError for what is no data set, InputError where no part is left that could be used.
    """
    if folder is not None:
        remarks = tuple(_remarks(category, "validation", recipe)) if category else ()
        return NominalParts(tuple(list_nominal_folder(folder)), folder.resolve().name, remarks)
    if category is None:
        raise InputError("nominal parts are looked for in --root and --category, or in --nominal FOLDER")
    source = f"{category.root.resolve().name}/{category.name}/{split}"
    chosen = _validation(category) if split == "validation" else _train(category, recipe)
    return NominalParts(tuple(chosen), source, tuple(_remarks(category, split, recipe)))


def labelled_parts(category: CategoryAt | None, wanted: bool | None) -> tuple[PartFiles, ...]:
    """The test split; where `wanted` is None only if there is one. Raises DatasetError where it has to be there."""
    if category is None or wanted is False or (wanted is None and not category.has("test")):
        return ()
    return tuple(category.parts("test"))


def require_readable(parts: Sequence[PartFiles], progress: Progress) -> None:
    """Read every file once, before long work. Raises DatasetError with a line for each part that cannot be read."""
    torn = []
    for done, part in enumerate(parts, start=1):
        try:
            read_part(part)
        except DatasetError as error:
            torn.append(str(error))
        progress("read", done, len(parts))
    if torn:
        raise DatasetError("\n".join(torn))


def other_light(recipe: Recipe, light: int) -> Iterator[str]:
    """What to say where parts are seen in another light than the one that the recipe says it was taught in."""
    taught_in = recipe.provenance.light
    if taught_in not in (None, light):
        yield f"the recipe was taught with light {taught_in}, these parts are seen in light {light}"


def _remarks(of: CategoryAt, split: Split, recipe: Recipe) -> Iterator[str]:
    category, taught_on = of.name, recipe.provenance.category
    if of.layout == "eyecandies":
        yield from other_light(recipe, of.light)
    if taught_on and taught_on != category:
        yield f"recipe {recipe.name!r} was taught on {taught_on!r}, these parts are of {category!r}"
    if not taught_on and split == "train":
        yield (
            f"recipe {recipe.name!r} does not say what it was fitted on; if on these parts, their scores are "
            "too low for a threshold"
        )


def _validation(category: CategoryAt) -> list[PartFiles]:
    if category.folder.is_dir() and not category.has("validation"):
        raise InputError(
            f"{category.folder} has no validation split; {_BRING_OTHERS}, or take the training parts that were "
            "held out of the fit with --split train"
        )
    return category.parts("validation")


def _train(category: CategoryAt, recipe: Recipe) -> list[PartFiles]:
    """Training parts beside those that `fit` drew, which are drawn again as it did."""
    train, made = category.parts("train"), recipe.provenance
    if made.category != category.name:
        return train
    folder = category.folder / "train"
    if made.made_by == "import":
        raise InputError(f"{folder}: the published networks were fitted on these parts; {_BRING_OTHERS}")
    try:
        fitted = choose_parts(
            category.root, category.name, shots=made.shots, seed=made.seed or 0, layout=category.layout
        ).train
    except InputError:  # fewer parts than were drawn then
        fitted = ()
    if len(fitted) != made.train_parts:
        raise InputError(
            f"{folder}: the recipe was fitted on {made.train_parts} parts, and which of the {len(train)} there now "
            f"they are cannot be told; {_BRING_OTHERS}"
        )
    seen = {part.id for part in fitted}
    left = [part for part in train if part.id not in seen]
    if not left:
        raise InputError(f"{folder}: the recipe was fitted on all {len(train)} parts; {_BRING_OTHERS}")
    return left

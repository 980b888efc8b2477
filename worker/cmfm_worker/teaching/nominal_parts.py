"""Chooses the nominal parts that `calibrate` sets limits from: only parts that the mapping was not fitted on.

Parts that the mapping was fitted on score lower than new ones; a threshold from them would be too low.
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
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.recipe import Recipe
from cmfm_worker.teaching.leave_out import names_left_out, without
from cmfm_worker.teaching.which_parts import choose_parts

Split = Literal["validation", "train"]

_BRING_OTHERS = "give parts that it was not fitted on with --nominal FOLDER"


@dataclass(frozen=True, slots=True)
class NominalParts:
    """Parts to set limits from, their source (without paths of this machine) and remarks for the user."""

    parts: tuple[PartFiles, ...]
    source: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CategoryAt:
    """A category of a data set and how to read it (`cmfm_protocol.files.dataset.list_parts`)."""

    root: Path
    name: str
    layout: Layout = "mvtec3d"
    light: int = DEFAULT_LIGHT

    @property
    def folder(self) -> Path:
        """The category's folder."""
        return self.root / self.name

    def has(self, split: str) -> bool:
        """Return True if the category has the split."""
        return has_split(self.root, self.name, split, self.layout)

    def parts(self, split: str) -> list[PartFiles]:
        """List the parts of a split. Raises DatasetError."""
        return list_parts(self.root, self.name, split, self.layout, light=self.light)


def choose(
    category: CategoryAt | None,
    split: Split,
    folder: Path | None,
    recipe: Recipe,
    leave_out: Sequence[str] = (),
) -> NominalParts:
    """Choose the parts of `folder` if given, else of a split; of `train` only those that were not fitted on.

    Parts that the recipe's fit left out stay out, and so do those named by `leave_out`. Raises DatasetError for a
    folder that is not a data set, InputError for an unknown name, and if no usable part is left.
    """
    if folder is not None:
        remarks = tuple(_remarks(category, "validation", recipe)) if category else ()
        chosen, source = list_nominal_folder(folder), folder.resolve().name
    elif category is None:
        raise InputError("give nominal parts: either --root and --category, or --nominal FOLDER")
    else:
        remarks = tuple(_remarks(category, split, recipe))
        source = f"{category.root.resolve().name}/{category.name}/{split}"
        chosen = _validation(category, recipe) if split == "validation" else _train(category, recipe)
    left = without(chosen, names_left_out(chosen, leave_out))
    if not left:
        raise InputError(f"--leave-out: no part of {source} is left")
    return NominalParts(tuple(left), source, remarks)


def labelled_parts(category: CategoryAt | None, wanted: bool | None) -> tuple[PartFiles, ...]:
    """List the test split; with `wanted` None only if there is one. Raises DatasetError if a wanted one is missing."""
    if category is None or wanted is False or (wanted is None and not category.has("test")):
        return ()
    return tuple(category.parts("test"))


def require_readable(parts: Sequence[PartFiles], progress: ReportProgress) -> None:
    """Read every file once, before long work. Raises DatasetError with one line for each part that cannot be read."""
    unreadable = []
    for done, part in enumerate(parts, start=1):
        try:
            read_part(part)
        except DatasetError as error:
            unreadable.append(str(error))
        progress("read", done, len(parts))
    if unreadable:
        raise DatasetError("\n".join(unreadable))


def other_light(recipe: Recipe, light: int) -> Iterator[str]:
    """Yield a remark if the parts are read with another light than the recipe was taught with."""
    taught_in = recipe.provenance.light
    if taught_in not in (None, light):
        yield f"the recipe was taught with light {taught_in}, these parts are read with light {light}"


def _remarks(of: CategoryAt, split: Split, recipe: Recipe) -> Iterator[str]:
    category, taught_on = of.name, recipe.provenance.category
    if of.layout == "eyecandies":
        yield from other_light(recipe, of.light)
    if taught_on and taught_on != category:
        yield f"recipe {recipe.name!r} was taught on {taught_on!r}, these parts are of {category!r}"
    if not taught_on and split == "train":
        yield (
            f"recipe {recipe.name!r} does not say which parts it was fitted on; if it was fitted on these, their "
            "scores are too low for a threshold"
        )


def _validation(category: CategoryAt, recipe: Recipe) -> list[PartFiles]:
    if category.folder.is_dir() and not category.has("validation"):
        raise InputError(
            f"{category.folder} has no validation split; {_BRING_OTHERS}, or use the training parts that the fit "
            "held out: --split train"
        )
    return without(category.parts("validation"), _left_out(category, recipe))


def _left_out(category: CategoryAt, recipe: Recipe) -> tuple[str, ...]:
    """Return the ids of this category's parts that the recipe's fit left out."""
    return recipe.provenance.left_out if recipe.provenance.category == category.name else ()


def _train(category: CategoryAt, recipe: Recipe) -> list[PartFiles]:
    """List the training parts that `fit` did not use. Its draw is repeated with the seed in the recipe."""
    train, made = category.parts("train"), recipe.provenance
    if made.category != category.name:
        return train
    folder = category.folder / "train"
    if made.made_by == "import":
        raise InputError(f"{folder}: the published networks were fitted on these parts; {_BRING_OTHERS}")
    present = {
        part.id for part in (*train, *(category.parts("validation") if category.has("validation") else ()))
    }
    try:
        fitted = choose_parts(
            category.root,
            category.name,
            shots=made.shots,
            seed=made.seed or 0,
            layout=category.layout,
            leave_out=[name for name in made.left_out if name in present],
        ).train
    except InputError:  # there are fewer parts now than `fit` drew
        fitted = ()
    if len(fitted) != made.train_parts:
        raise InputError(
            f"{folder}: the recipe was fitted on {made.train_parts} parts; it cannot be determined which of the "
            f"{len(train)} present now they are; {_BRING_OTHERS}"
        )
    seen = {*(part.id for part in fitted), *made.left_out}
    left = [part for part in train if part.id not in seen]
    if not left:
        raise InputError(f"{folder}: the recipe was fitted on all {len(fitted)} parts; {_BRING_OTHERS}")
    return left

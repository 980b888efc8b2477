"""Chooses the nominal parts to fit on and those that set the threshold; a part is never in both (docs/method.md).

Parts that were fitted on score lower than new ones, so a threshold from them would be too low.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmfm_protocol.files.dataset import (
    DEFAULT_LIGHT,
    Layout,
    PartFiles,
    XyzUnit,
    has_split,
    in_unit,
    list_parts,
)
from cmfm_worker.errors import InputError
from cmfm_worker.teaching.leave_out import names_left_out, without
from cmfm_worker.teaching.limits import ThresholdMethod, require_enough
from cmfm_worker.teaching.out_of_fold import LEAST_PARTS

HELD_OUT_SHARE = 0.2
"""Share of the training parts that is held out if there is no validation split; at least one part."""


@dataclass(frozen=True, slots=True)
class TeachParts:
    """Parts to fit on and parts that set the threshold; `held_out`: the latter come from the training split.

    `left_out` are the ids of parts that are in neither because a person said so.
    """

    train: tuple[PartFiles, ...]
    validation: tuple[PartFiles, ...]
    held_out: bool
    left_out: tuple[str, ...] = ()

    def in_unit(self, unit: XyzUnit) -> "TeachParts":
        """Return the same parts with points whose files are in another unit than metres."""
        return TeachParts(
            tuple(in_unit(self.train, unit)),
            tuple(in_unit(self.validation, unit)),
            self.held_out,
            self.left_out,
        )


def choose_parts(
    root: Path,
    category: str,
    *,
    shots: int | None = None,
    seed: int = 0,
    target_false_reject_rate: float | None = None,
    threshold_method: ThresholdMethod = "conformal",
    out_of_fold: bool = False,
    layout: Layout = "mvtec3d",
    light: int = DEFAULT_LIGHT,
    leave_out: Sequence[str] = (),
) -> TeachParts:
    """List the parts to teach from. `shots` None takes every training part, else `shots` of them drawn by `seed`.

    `leave_out` names nominal parts that are used for nothing (`leave_out.names_left_out`).
    `layout` and `light` are those of `cmfm_protocol.files.dataset.list_parts`. Raises DatasetError for a folder that
    is not a data set, InputError if there are fewer parts than `shots` or than the false-reject rate needs. All of
    this is checked before any long work. With `out_of_fold` training parts will be scored, too.
    """
    train = list_parts(root, category, "train", layout, light=light)
    held_out = not has_split(root, category, "validation", layout)
    validation = [] if held_out else list_parts(root, category, "validation", layout, light=light)
    left_out = names_left_out([*train, *validation], leave_out)
    train, validation = without(train, left_out), without(validation, left_out)
    _require_some(train, validation, held_out, root / category)
    if held_out:
        train, validation = hold_out(train, seed, root / category)
    train = _draw(train, shots, seed, root / category)
    parts = TeachParts(tuple(train), tuple(validation), held_out, left_out)
    folds = len(parts.train) if out_of_fold and len(parts.train) >= LEAST_PARTS else 0
    require_enough(len(parts.validation) + folds, target_false_reject_rate, threshold_method)
    return parts


def _require_some(
    train: Sequence[PartFiles], validation: Sequence[PartFiles], held_out: bool, folder: Path
) -> None:
    """Raise InputError if nothing is left of a split after parts were left out."""
    for split, some in (("train", train), *([] if held_out else [("validation", validation)])):
        if not some:
            raise InputError(f"--leave-out: no part of {folder / split} is left")


def hold_out(
    train: Sequence[PartFiles], seed: int, folder: Path | str
) -> tuple[list[PartFiles], list[PartFiles]]:
    """Split parts into those to fit on and those that set the threshold. Raises InputError if there is only one."""
    if len(train) < 2:
        raise InputError(
            f"{folder}: only one training part and no validation split; "
            "at least two nominal parts are needed, one to fit on and one to set the threshold"
        )
    order = np.random.default_rng(seed).permutation(len(train))
    out = set(order[: max(1, math.floor(HELD_OUT_SHARE * len(train)))].tolist())
    kept = [part for i, part in enumerate(train) if i not in out]
    return kept, [part for i, part in enumerate(train) if i in out]


def _draw(train: Sequence[PartFiles], shots: int | None, seed: int, folder: Path) -> list[PartFiles]:
    if shots is None:
        return list(train)
    if shots > len(train):
        raise InputError(f"--shots {shots}: {folder} has only {len(train)} parts to fit on")
    order = np.random.default_rng(seed).permutation(len(train))
    return [train[i] for i in sorted(order[:shots].tolist())]

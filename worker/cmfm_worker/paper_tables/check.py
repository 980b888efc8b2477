"""What would stop a run half-way, found before it begins: data, shots, ground truth, weights, prepared parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from cmfm_protocol.files.dataset import GOOD, SPLITS, PartFiles, check_ground_truths, has_split, list_parts
from cmfm_worker.cfm.extractor import Preset
from cmfm_worker.datasets.cache.store import source_of
from cmfm_worker.errors import InputError
from cmfm_worker.paper_tables.experiments import Cell, SuiteOptions
from cmfm_worker.paper_tables.run_cell import choose_cell_parts


@dataclass(frozen=True, slots=True)
class Inputs:
    """What cells are measured from.

    `parts` has for each category a digest of its files' names, sizes and times; `weights` for each 2D extractor the
    sha256 of its file and of Point-MAE's (`classic` has none); `extractor_version` is that of the features.
    """

    parts: dict[str, str]
    weights: dict[str, list[str]]
    extractor_version: str

    def of(self, cell: Cell) -> dict[str, Any]:
        """Those of one cell, as they are kept beside its numbers."""
        return {
            "parts": self.parts[cell.category],
            "weights": self.weights.get(cell.settings.image, []),
            "extractor_version": self.extractor_version,
        }


def check_run(cells: Sequence[Cell], options: SuiteOptions) -> Inputs:
    """Raise InputError or DatasetError naming what is missing and what would help."""
    weights = {}
    if options.preset == "paper":
        for image in dict.fromkeys(cell.settings.image for cell in cells):
            names = [cell.name for cell in cells if cell.settings.image == image]
            weights[image] = _weights(options, image, names)
    parts = {name: _check_category(name, cells, options) for name in options.categories}
    return Inputs(parts, weights, _extractor_version(options.preset))


def check_prepared(cells: Iterable[Cell], options: SuiteOptions, device: torch.device) -> None:
    """Raise InputError where the prepared parts of the cells' categories cannot be used on such a device."""
    if options.prepared is not None:
        for category in dict.fromkeys(cell.category for cell in cells):
            source_of(options.prepared, _parts(category, options), options.background.options(), device)


def _extractor_version(preset: Preset) -> str:
    if preset == "classic":
        from cmfm_worker.cfm.classic.extractor import ClassicExtractor

        return ClassicExtractor().identity.version
    from cmfm_worker.cfm.paper_extractor import VERSION

    return VERSION


def _weights(options: SuiteOptions, image: str, names: Sequence[str]) -> list[str]:
    from cmfm_worker.cfm.weights import POINT_MAE, WeightsError, find_weights, weights_identity
    from cmfm_worker.recipes.published_weights import (
        require_weights,  # it loads timm, which `classic` can do without
    )

    if options.weights is None:
        raise InputError("extractors 'paper' need --weights DIR; see `cmfm-worker weights list`")
    try:
        require_weights(options.weights, image)
        return [weights_identity(find_weights(options.weights, kind))[1] for kind in (image, POINT_MAE)]
    except (InputError, WeightsError) as error:
        raise InputError(
            f"{error}\n(or leave out what needs it: --skip {','.join(dict.fromkeys(names))})"
        ) from error


def _check_category(category: str, cells: Sequence[Cell], options: SuiteOptions) -> str:
    test = list_parts(options.root, category, "test", options.dataset, light=options.light)
    check_ground_truths(test)
    if {part.defect == GOOD for part in test} != {True, False}:
        raise InputError(f"{options.root / category}: its test split needs good parts and defective ones")
    _check_choices([cell for cell in cells if cell.category == category], options)
    return _digest(_parts(category, options))


def _check_choices(cells: Sequence[Cell], options: SuiteOptions) -> None:
    """Are there as many parts to teach from as the cells of a category draw?"""
    failed: dict[str, InputError] = {}
    for cell in cells:
        try:
            choose_cell_parts(cell, options)
        except InputError as error:
            if cell.settings.shots is None:
                raise
            failed[cell.name] = error
    for first in failed.values():
        raise InputError(f"{first}\n(or leave out what needs more: --skip {','.join(failed)})") from first


def _parts(category: str, options: SuiteOptions) -> list[PartFiles]:
    """All parts of a category, also those that no cell of this run draws."""
    root, layout = options.root, options.dataset
    return [
        part
        for split in SPLITS
        if has_split(root, category, split, layout)
        for part in list_parts(root, category, split, layout, light=options.light)
    ]


def _digest(parts: Iterable[PartFiles]) -> str:
    lines = []
    for part in parts:
        files = part.sources if part.gt is None else (*part.sources, part.gt)
        stats = [(file.name, file.stat()) for file in files if file.exists()]
        lines.append(f"{part.id} {[(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

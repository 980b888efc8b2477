"""What would stop a run half-way, found before it begins: data, shots, ground truth, weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from cmfm_protocol.dataset import GOOD, PartFiles, check_ground_truths, list_parts
from cmfm_worker.errors import InputError
from cmfm_worker.suite.cells import Cell, SuiteOptions
from cmfm_worker.suite.measure_cell import choose_cell_parts
from cmfm_worker.teach_parts import TeachParts


def check_run(cells: Sequence[Cell], options: SuiteOptions) -> dict[str, str]:
    """Raise InputError or DatasetError naming what is missing and what would help.

    Returns for each category a digest of what its folder holds (names and sizes): a kept cell is good for the same.
    """
    if options.preset == "paper":
        for image in dict.fromkeys(cell.settings.image for cell in cells):
            _require_weights(options, image, [cell.name for cell in cells if cell.settings.image == image])
    return {category: _check_category(category, cells, options) for category in options.categories}


def _require_weights(options: SuiteOptions, image: str, names: Sequence[str]) -> None:
    from cmfm_worker.published_weights import require_weights  # it loads timm, which `classic` can do without

    if options.weights is None:
        raise InputError("extractors 'paper' need --weights DIR; see `cmfm-worker weights list`")
    try:
        require_weights(options.weights, image)
    except InputError as error:
        raise InputError(
            f"{error}\n(or leave out what needs it: --skip {','.join(dict.fromkeys(names))})"
        ) from error


def _check_category(category: str, cells: Sequence[Cell], options: SuiteOptions) -> str:
    test = list_parts(options.root, category, "test", options.dataset, light=options.light)
    check_ground_truths(test)
    if {part.defect == GOOD for part in test} != {True, False}:
        raise InputError(f"{options.root / category}: its test split needs good parts and defective ones")
    everything: dict[str, PartFiles] = {part.id: part for part in test}
    for cell in cells:
        if cell.category == category:
            parts = _chosen(cell, options)
            everything |= {part.id: part for part in (*parts.train, *parts.validation)}
    return _digest(everything.values())


def _chosen(cell: Cell, options: SuiteOptions) -> TeachParts:
    try:
        return choose_cell_parts(cell, options)
    except InputError as error:
        if cell.settings.shots is None:
            raise
        raise InputError(f"{error}\n(or leave it out: --skip {cell.name})") from error


def _digest(parts: Iterable[PartFiles]) -> str:
    found = sorted(f"{part.id} {part.rgb.stat().st_size} {part.xyz.stat().st_size}" for part in parts)
    return hashlib.sha256("\n".join(found).encode()).hexdigest()

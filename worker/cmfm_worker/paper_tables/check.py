"""Checks before a run everything that would stop it later: data, shots, ground truth, weights, prepared parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from cmfm_protocol.files.dataset import (
    GOOD,
    SPLITS,
    PartFiles,
    check_ground_truths,
    has_split,
    in_unit,
    list_parts,
)
from cmfm_worker.cfm.extractor import Preset
from cmfm_worker.datasets.cache.store import source_of
from cmfm_worker.errors import InputError
from cmfm_worker.paper_tables.experiments import Experiment, RunOptions
from cmfm_worker.paper_tables.run_experiment import choose_experiment_parts


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of the experiments.

    `parts` holds for each category a digest of its files' names, sizes and times; `weights` for each 2D extractor the
    sha256 of its file and of Point-MAE's (`classic` has none); `extractor_version` is the version of the features.
    `left_out` holds for the title of each experiment that draws more parts than its category has the reason, `remarks`
    what to say about ground truths.
    """

    parts: dict[str, str]
    weights: dict[str, list[str]]
    extractor_version: str
    left_out: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def of(self, experiment: Experiment) -> dict[str, Any]:
        """Return the inputs of one experiment as they are stored with its numbers."""
        return {
            "parts": self.parts[experiment.category],
            "weights": self.weights.get(experiment.settings.image, []),
            "extractor_version": self.extractor_version,
        }


def check_run(experiments: Sequence[Experiment], options: RunOptions) -> Inputs:
    """Check data and weights. Raises InputError or DatasetError naming what is missing and the remedy."""
    weights = {}
    if options.preset == "paper":
        for image in dict.fromkeys(experiment.settings.image for experiment in experiments):
            names = [experiment.name for experiment in experiments if experiment.settings.image == image]
            weights[image] = _weights(options, image, names)
    left_out, remarks = _too_few_parts(experiments, options), list[str]()
    parts = {name: _check_category(name, options, remarks) for name in options.categories}
    return Inputs(parts, weights, _extractor_version(options.preset), left_out, tuple(remarks))


def check_prepared(experiments: Iterable[Experiment], options: RunOptions, device: torch.device) -> None:
    """Raise InputError if the prepared parts of the experiments' categories cannot be used on such a device."""
    if options.prepared is not None:
        for category in dict.fromkeys(experiment.category for experiment in experiments):
            source_of(options.prepared, _parts(category, options), options.background.options(), device)


def _extractor_version(preset: Preset) -> str:
    if preset == "classic":
        from cmfm_worker.cfm.classic.extractor import ClassicExtractor

        return ClassicExtractor().identity.version
    from cmfm_worker.cfm.paper_extractor import VERSION

    return VERSION


def _weights(options: RunOptions, image: str, names: Sequence[str]) -> list[str]:
    from cmfm_worker.cfm.weights import POINT_MAE, WeightsError, find_weights, weights_identity
    from cmfm_worker.recipes.published_weights import (
        require_weights,  # imported here, because it loads timm, which `classic` does not need
    )

    if options.weights is None:
        raise InputError("extractors 'paper' need --weights DIR; see `cmfm-worker weights list`")
    try:
        require_weights(options.weights, image)
        return [weights_identity(find_weights(options.weights, kind))[1] for kind in (image, POINT_MAE)]
    except (InputError, WeightsError) as error:
        raise InputError(
            f"{error}\n(or leave out the variants that need it: --skip {','.join(dict.fromkeys(names))})"
        ) from error


def _check_category(category: str, options: RunOptions, remarks: list[str]) -> str:
    test = list_parts(options.root, category, "test", options.dataset, light=options.light)
    remarks += check_ground_truths(test)
    if {part.defect == GOOD for part in test} != {True, False}:
        raise InputError(f"{options.root / category}: its test split needs good parts and defective ones")
    return _digest(_parts(category, options))


def _too_few_parts(experiments: Sequence[Experiment], options: RunOptions) -> dict[str, str]:
    """Return why experiments that draw more training parts than their category has cannot run, by title.

    Raises InputError if no experiment can run, or if a category has too few parts for one that takes them all.
    """
    left_out: dict[str, str] = {}
    for experiment in experiments:
        try:
            choose_experiment_parts(experiment, options)
        except InputError as error:
            if experiment.settings.shots is None:
                raise
            left_out[experiment.title] = str(error)
    if experiments and len(left_out) == len(experiments):
        raise InputError("\n".join(left_out.values()))
    return left_out


def _parts(category: str, options: RunOptions) -> list[PartFiles]:
    """List all parts of a category, also those that no experiment of this run uses."""
    root, layout = options.root, options.dataset
    return [
        part
        for split in SPLITS
        if has_split(root, category, split, layout)
        for part in in_unit(list_parts(root, category, split, layout, light=options.light), options.xyz_unit)
    ]


def _digest(parts: Iterable[PartFiles]) -> str:
    lines = []
    for part in parts:
        files = part.sources if part.gt is None else (*part.sources, part.gt)
        stats = [(file.name, file.stat()) for file in files if file.exists()]
        lines.append(f"{part.id} {[(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

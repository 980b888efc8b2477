"""The experiments of a run. An experiment teaches one category in one way and gives numbers of some tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from cmfm_protocol.files.dataset import DEFAULT_LIGHT, Layout, XyzUnit
from cmfm_worker.cfm.extractor import Preset
from cmfm_worker.cfm.fast.precision import Precision
from cmfm_worker.cfm.fit.fit import FitOptions
from cmfm_worker.cfm.scoring import scoring_rule
from cmfm_worker.cfm.variants import Aggregation, Architecture, Modality, Normalisation
from cmfm_worker.paper_tables.variants import Variant
from cmfm_worker.recipes.sections import BackgroundSection

MAIN: Final = "ours"
"""The variant whose recipes are stored and whose maps the report shows."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options that all experiments of a run share.

    `epochs` replaces the paper's 250 (None: the preset's number). `normalisation` None takes the published one for
    `paper` and unchanged Ψ for `classic` (docs/method.md, scores).
    """

    root: Path
    dataset: Layout
    categories: tuple[str, ...]
    preset: Preset
    weights: Path | None = None
    group_size: int = 128
    epochs: int | None = None
    pixels_per_image: int | None = None
    seed: int = 0
    normalisation: Normalisation | None = None
    background: BackgroundSection = field(default_factory=BackgroundSection)
    precision: Precision = "fp32"
    batch: int = 4
    prepared: Path | None = None
    light: int = DEFAULT_LIGHT
    xyz_unit: XyzUnit = "m"

    @property
    def scores_by(self) -> Normalisation:
        """The normalisation of the scores and of the maps that the metrics use."""
        return self.normalisation or ("published" if self.preset == "paper" else "absolute")


@dataclass(frozen=True, slots=True)
class ExperimentSettings:
    """Everything but the category's files that decides an experiment's numbers; `batch` decides frames/s and memory."""

    preset: Preset
    blocks: int
    group_size: int
    image: str
    architecture: Architecture
    modality: Modality
    epochs: int
    pixels_per_image: int | None
    shots: int | None
    seed: int
    normalisation: Normalisation
    scoring: str
    background: str
    precision: Precision
    batch: int
    light: int

    def as_json(self) -> dict[str, Any]:
        """Return the settings as they are stored with the numbers."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Experiment:
    """One category taught in one way; `name` is the first of the variants that use it."""

    category: str
    name: str
    settings: ExperimentSettings
    aggregations: tuple[Aggregation, ...]

    @property
    def title(self) -> str:
        """The experiment's name for people."""
        return f"{self.category} / {self.name}"


def settings_of(variant: Variant, options: RunOptions) -> ExperimentSettings:
    """Return the settings of a variant in a run. Variants with equal settings are one experiment."""
    full = options.epochs or FitOptions.for_preset(options.preset).epochs
    return ExperimentSettings(
        preset=options.preset,
        blocks=variant.blocks,
        group_size=options.group_size,
        image=variant.image,
        architecture=variant.architecture,
        modality=variant.modality,
        epochs=variant.epochs(options.preset, full),
        pixels_per_image=options.pixels_per_image,
        shots=variant.shots,
        seed=options.seed,
        normalisation=options.scores_by,
        scoring=scoring_rule(options.preset),
        background=options.background.model_dump_json(exclude_none=True),
        precision=options.precision,
        batch=options.batch,
        light=options.light,
    )


def plan_experiments(
    variants: Sequence[Variant], options: RunOptions
) -> tuple[list[Experiment], dict[str, str]]:
    """List the experiments of a run, and map each variant's name to the name of its experiment.

    They are ordered by extractor and then by category, so that an extractor is loaded as rarely as possible.
    """
    served: dict[str, str] = {}
    ways: dict[ExperimentSettings, tuple[str, set[Aggregation]]] = {}
    for variant in variants:
        if variant.suits(options.preset):
            name, maps = ways.setdefault(settings_of(variant, options), (variant.name, set()))
            maps.update(variant.aggregations)
            served[variant.name] = name
    return list(_experiments(ways, options.categories)), served


def _experiments(
    ways: dict[ExperimentSettings, tuple[str, set[Aggregation]]], categories: Sequence[str]
) -> Iterator[Experiment]:
    def extractor(settings: ExperimentSettings) -> tuple[str, int]:
        return settings.image, settings.blocks

    for one in dict.fromkeys(extractor(settings) for settings in ways):
        mine = [(settings, *way) for settings, way in ways.items() if extractor(settings) == one]
        for category in categories:
            for settings, name, maps in mine:
                yield Experiment(category, name, settings, tuple(sorted(maps)))

"""Which cells a run has: one cell is one category taught in one way, and decides some numbers of some tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from cmfm_protocol.files.dataset import DEFAULT_LIGHT, Layout
from cmfm_worker.cfm.extractor import Preset
from cmfm_worker.cfm.fast.precision import Precision
from cmfm_worker.cfm.fit.fit import FitOptions
from cmfm_worker.cfm.scoring import scoring_rule
from cmfm_worker.cfm.variants import Aggregation, Architecture, Modality, Normalisation
from cmfm_worker.paper_tables.variants import Variant
from cmfm_worker.recipes.sections import BackgroundSection

MAIN: Final = "ours"
"""The variant whose recipes are kept, and whose maps the report shows."""


@dataclass(frozen=True, slots=True)
class SuiteOptions:
    """What a whole run has in common.

    `epochs` is what the paper's 250 stand for here (None: the preset's own number). `normalisation` None takes the
    published one for `paper` and Ψ as it is for `classic` (docs/method.md,
    scores).
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

    @property
    def scores_by(self) -> Normalisation:
        """How Ψ becomes scores and what the metrics are taken on."""
        return self.normalisation or ("published" if self.preset == "paper" else "absolute")


@dataclass(frozen=True, slots=True)
class CellSettings:
    """All that decides a cell's numbers, besides the category's own files; `batch` decides frames/s and memory."""

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
        """As it is kept beside the numbers."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Cell:
    """One category taught in one way; `name` is the first of the variants that ask for it."""

    category: str
    name: str
    settings: CellSettings
    aggregations: tuple[Aggregation, ...]

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.category} / {self.name}"


def settings_of(variant: Variant, options: SuiteOptions) -> CellSettings:
    """A variant under a run's options. Two variants that come out alike are one cell."""
    full = options.epochs or FitOptions.for_preset(options.preset).epochs
    return CellSettings(
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


def plan_cells(variants: Sequence[Variant], options: SuiteOptions) -> tuple[list[Cell], dict[str, str]]:
    """The cells of a run, and for each variant's name that of the cell that serves it.

    Category after category within one extractor, so that an extractor is loaded as rarely as can be.
    """
    served: dict[str, str] = {}
    ways: dict[CellSettings, tuple[str, set[Aggregation]]] = {}
    for variant in variants:
        if variant.suits(options.preset):
            name, maps = ways.setdefault(settings_of(variant, options), (variant.name, set()))
            maps.update(variant.aggregations)
            served[variant.name] = name
    return list(_cells(ways, options.categories)), served


def _cells(
    ways: dict[CellSettings, tuple[str, set[Aggregation]]], categories: Sequence[str]
) -> Iterator[Cell]:
    def extractor(settings: CellSettings) -> tuple[str, int]:
        return settings.image, settings.blocks

    for one in dict.fromkeys(extractor(settings) for settings in ways):
        mine = [(settings, *way) for settings, way in ways.items() if extractor(settings) == one]
        for category in categories:
            for settings, name, maps in mine:
                yield Cell(category, name, settings, tuple(sorted(maps)))

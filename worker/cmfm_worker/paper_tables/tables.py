"""The layouts of the paper's tables: the place of each number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from cmfm_worker.cfm.variants import Aggregation
from cmfm_worker.paper_tables.paper import MEAN, Place
from cmfm_worker.paper_tables.variants import AGGREGATIONS, VARIANTS

METRICS: Final = {
    "i_auroc": "I-AUROC",
    "p_auroc": "P-AUROC",
    "aupro_30": "AUPRO@30%",
    "aupro_10": "AUPRO@10%",
    "aupro_5": "AUPRO@5%",
    "aupro_1": "AUPRO@1%",
    "fps": "frames/s",
    "memory_mb": "memory, MB",
}
"""Column headings of the metrics."""

_FOUR: Final = ("i_auroc", "p_auroc", "aupro_30", "aupro_1")
_AUPROS: Final = ("aupro_30", "aupro_10", "aupro_5", "aupro_1")
_COST: Final = ("fps", "memory_mb")
_SYMBOLS: Final[dict[Aggregation, str]] = {
    "2d": "Ψ_2D",
    "3d": "Ψ_3D",
    "sum": "Ψ_2D + Ψ_3D",
    "max": "max(Ψ_2D, Ψ_3D)",
    "product": "Ψ_2D · Ψ_3D",
}


@dataclass(frozen=True, slots=True)
class Row:
    """The subject of a table's row: a variant and one of its maps."""

    label: str
    variant: str
    aggregation: Aggregation = "product"


@dataclass(frozen=True, slots=True)
class Line:
    """One printed line of a table: its labels and the places of its numbers."""

    labels: tuple[str, ...]
    places: tuple[Place | None, ...]


@dataclass(frozen=True, slots=True)
class PaperTable:
    """One of the paper's tables; `dataset` is the data set that the paper made it on.

    `others` are the methods that the paper compares with; their rows hold only the paper's numbers.
    """

    number: int
    title: str
    dataset: Literal["mvtec3d", "eyecandies"]
    rows: tuple[Row, ...]
    layout: Layout
    others: tuple[Row, ...] = ()

    @property
    def variants(self) -> set[str]:
        """Names of the variants in the table."""
        _, lines = self.layout(self.number, self.rows, ())
        return {place.row for line in lines for place in line.places if place is not None}

    def shape(self, categories: Sequence[str], *, with_others: bool) -> tuple[list[str], list[Line]]:
        """Return its column headings and its lines for these categories."""
        return self.layout(self.number, (*self.others, *self.rows) if with_others else self.rows, categories)


Layout = Callable[[int, Sequence[Row], Sequence[str]], tuple[list[str], list[Line]]]
"""Makes the columns and lines of a table from its number, its rows and the categories."""


def means(*metrics: str) -> Layout:
    """Return a layout with one line a row and one column a metric, of means over all categories."""

    def layout(number: int, rows: Sequence[Row], _categories: Sequence[str]) -> tuple[list[str], list[Line]]:
        lines = [
            Line((row.label,), tuple(Place(number, row.variant, row.aggregation, m, MEAN) for m in metrics))
            for row in rows
        ]
        return ["", *(METRICS[metric] for metric in metrics)], lines

    return layout


def by_category(*metrics: str, rows_first: bool = False, cost: bool = False) -> Layout:
    """Return a layout with one column a category and one for their mean; lines are grouped by metric, or by row.

    `cost` adds frames/s and memory to the mean column.
    """
    every = [*metrics, *(_COST if cost else ())]

    def layout(number: int, rows: Sequence[Row], categories: Sequence[str]) -> tuple[list[str], list[Line]]:
        pairs = [(row, metric) for metric in every for row in rows]
        if rows_first:
            pairs = [(row, metric) for row in rows for metric in every]
        lines = [_category_line(number, row, metric, categories) for row, metric in pairs]
        return ["", "", *categories, MEAN], lines

    return layout


def _category_line(number: int, row: Row, metric: str, categories: Sequence[str]) -> Line:
    def place(category: str) -> Place | None:
        if metric in _COST and category != MEAN:
            return None
        return Place(number, row.variant, row.aggregation, metric, category)

    return Line((row.label, METRICS[metric]), tuple(place(category) for category in [*categories, MEAN]))


_SHOTS: Final = {"-5-shot": "5-shot", "-10-shot": "10-shot", "-50-shot": "50-shot", "": "full"}
"""Suffix of a variant's name, and column heading, for each number of training parts."""


def few_shots(number: int, rows: Sequence[Row], _categories: Sequence[str]) -> tuple[list[str], list[Line]]:
    """Make the layout of Table 4: one line a method; for each metric one column for each number of training parts."""
    columns = [(metric, shots) for metric in _FOUR for shots in _SHOTS]
    header = ["", *(f"{METRICS[metric]} {_SHOTS[shots]}" for metric, shots in columns)]
    lines = [
        Line((row.label,), tuple(Place(number, row.variant + s, "product", m, MEAN) for m, s in columns))
        for row in rows
    ]
    return header, lines


_OURS: Final = Row("Ours", "ours")
_OURS_M: Final = Row("Ours-M", "ours-m")
_PRUNED: Final = (_OURS, _OURS_M, Row("Ours-S", "ours-s"), Row("Ours-T", "ours-t"))
_AGGREGATED: Final = tuple(Row(_SYMBOLS[a], "ours", a) for a in AGGREGATIONS)
_THREE: Final[tuple[Aggregation, ...]] = ("2d", "3d", "product")
_MODALITIES: Final = (
    *(Row(f"Intra {_SYMBOLS[a].replace('Ψ', 'Φ')}", "intra-50-epochs", a) for a in _THREE),
    *(Row(f"Cross {_SYMBOLS[a]}", "cross-50-epochs", a) for a in _THREE),
)
_ARCHITECTURES: Final = (
    Row("MLP Encoder-Decoder", "mlp-encoder-decoder-50-epochs"),
    Row("MLP Projection", "cross-50-epochs"),
    Row("Convolutional Encoder-Decoder", "conv-encoder-decoder-50-epochs"),
)
_IMAGE_EXTRACTORS: Final = (
    Row("DINO", "cross-50-epochs"),
    Row("SAM", "sam-50-epochs"),
    Row("CLIP", "clip-50-epochs"),
    Row("DINO-v2", "dinov2-50-epochs"),
)
_BEST: Final = tuple(Row(title, title.lower()) for title in ("BTF", "AST", "M3DM"))
_DETECTION: Final = (
    *(
        Row(title, title.lower())
        for title in ("DepthGAN", "DepthAE", "DepthVM", "VoxelGAN", "VoxelAE", "VoxelVM")
    ),
    *_BEST,
)
_CANDY: Final = (
    *(Row(title, title.lower()) for title in ("RGB-D", "RGB-cD-n", "M3DM")),
    Row("M3DM retrained", "m3dm-retrained"),
    Row("AST", "ast"),
)

TABLES: Final[dict[int, PaperTable]] = {
    table.number: table
    for table in (
        PaperTable(
            1,
            "Detection and segmentation",
            "mvtec3d",
            (_OURS, _OURS_M),
            by_category("i_auroc", "aupro_30"),
            _DETECTION,
        ),
        PaperTable(2, "AUPRO@1%", "mvtec3d", (_OURS, _OURS_M), by_category("aupro_1"), _BEST),
        PaperTable(
            3, "Means (in the paper: on Eyecandies)", "eyecandies", (_OURS, _OURS_M), means(*_FOUR), _BEST[1:]
        ),
        PaperTable(4, "Few shots", "mvtec3d", (_OURS,), few_shots, _BEST),
        PaperTable(5, "Speed, memory and quality", "mvtec3d", _PRUNED, means(*_COST, *_FOUR), _BEST),
        PaperTable(6, "Aggregation", "mvtec3d", _AGGREGATED, means(*_FOUR)),
        PaperTable(7, "Crossmodal and intramodal mapping, 50 epochs", "mvtec3d", _MODALITIES, means(*_FOUR)),
        PaperTable(
            8,
            "Mapping networks, 50 epochs",
            "mvtec3d",
            _ARCHITECTURES,
            by_category("i_auroc", *_AUPROS, rows_first=True, cost=True),
        ),
        PaperTable(
            9,
            "Aggregation by category",
            "mvtec3d",
            _AGGREGATED,
            by_category("i_auroc", *_AUPROS, rows_first=True),
        ),
        PaperTable(10, "2D extractors, 50 epochs", "mvtec3d", _IMAGE_EXTRACTORS, means(*_FOUR)),
        PaperTable(
            11,
            "Blocks kept, by category",
            "mvtec3d",
            _PRUNED,
            by_category("i_auroc", *_AUPROS, rows_first=True),
        ),
        PaperTable(12, "P-AUROC", "mvtec3d", (_OURS,), by_category("p_auroc"), _BEST),
        PaperTable(
            13,
            "By category (in the paper: Eyecandies)",
            "eyecandies",
            (_OURS, _OURS_M),
            by_category("i_auroc", "p_auroc", *_AUPROS),
            _CANDY,
        ),
    )
}


def variants_of(tables: Sequence[PaperTable]) -> list[str]:
    """List the names of the variants in the tables, in the order of `VARIANTS`."""
    wanted = set[str]().union(*(table.variants for table in tables))
    return [name for name in VARIANTS if name in wanted]

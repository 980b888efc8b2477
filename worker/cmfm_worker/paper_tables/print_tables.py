"""Prints the paper's tables as Markdown, CSV and JSON, with the paper's numbers beside the measured ones."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cmfm_worker.paper_tables.figures import Results
from cmfm_worker.paper_tables.paper import EYECANDIES, MVTEC_3D, Place, paper_numbers
from cmfm_worker.paper_tables.tables import PaperTable

_DIGITS: Final = {"fps": "{:.1f}", "memory_mb": "{:.0f}"}
_NOTHING: Final = "–"

READING: Final = (
    "Each number was measured here; the paper's own, from its whole data set and machine, is in brackets. AUPRO is "
    "given twice: integrated exactly · with 99 thresholds, as in the published numbers (at 1 % that is hardly more "
    "than one interpolated segment). Memory is the maximum over the categories; all other means are arithmetic means. "
    "A mean is missing if a category is missing."
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a table: the measured value (`of_99`: AUPRO with 99 thresholds) and the paper's."""

    place: Place
    value: float | None
    of_99: float | None
    paper: float | None

    def __str__(self) -> str:
        form = _DIGITS.get(self.place.metric, "{:.3f}")
        found = [form.format(value) for value in (self.value, self.of_99) if value is not None]
        texts = [" · ".join(found)] if found else []
        if self.paper is not None:
            texts.append(f"({form.format(self.paper)})")
        return " ".join(texts) or _NOTHING


@dataclass(frozen=True, slots=True)
class PrintedTable:
    """A table with its numbers; None for places without a number in the paper's layout."""

    table: PaperTable
    header: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[Number | None, ...]], ...]

    @property
    def title(self) -> str:
        """The title with the paper's number."""
        return f"Table {self.table.number}. {self.table.title}"

    @property
    def labels(self) -> int:
        """Number of label columns."""
        return len(self.rows[0][0]) if self.rows else 0

    def texts(self) -> list[list[str]]:
        """Return its lines as text."""
        return [[*labels, *(_text(number) for number in numbers)] for labels, numbers in self.rows]

    def numbers(self) -> Iterator[Number]:
        """Yield all numbers, line after line."""
        for _, numbers in self.rows:
            yield from (number for number in numbers if number is not None)


def print_table(table: PaperTable, results: Results) -> PrintedTable:
    """Fill a table with the measured numbers; adds rows of other methods if the categories are the paper's own."""
    known = set(MVTEC_3D if table.dataset == "mvtec3d" else EYECANDIES)
    header, lines = table.shape(results.categories, with_others=set(results.categories) <= known)
    rows = [
        (line.labels, tuple(None if place is None else _number(place, results) for place in line.places))
        for line in lines
    ]
    return PrintedTable(table, tuple(header), tuple(rows))


def as_markdown(tables: Sequence[PrintedTable], notes: Sequence[str]) -> str:
    """Format all tables as Markdown, after the explanation and the notes."""
    lines = [READING, "", *(f"- {note}" for note in notes)]
    for table in tables:
        lines += ["", f"### {table.title}", "", _markdown_row(table.header)]
        lines.append("|" + "---|" * len(table.header))
        lines += [_markdown_row(row) for row in table.texts()]
    return "\n".join(lines) + "\n"


def as_csv(tables: Sequence[PrintedTable]) -> str:
    """Format one line a number: table, row, aggregation, metric, category, measured, with 99 thresholds, paper."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*Place._fields, "measured", "measured_99_thresholds", "paper"])
    for table in tables:
        writer.writerows(
            [*n.place, *(_plain(v) for v in (n.value, n.of_99, n.paper))] for n in table.numbers()
        )
    return out.getvalue()


def as_json(tables: Sequence[PrintedTable]) -> list[dict[str, Any]]:
    """Return the same numbers as plain values, table by table."""
    return [
        {
            "table": table.table.number,
            "title": table.table.title,
            "dataset_of_the_paper": table.table.dataset,
            "numbers": [
                {
                    **dict(zip(Place._fields[1:], n.place[1:], strict=True)),
                    "measured": n.value,
                    "measured_99_thresholds": n.of_99,
                    "paper": n.paper,
                }
                for n in table.numbers()
            ],
        }
        for table in tables
    ]


def _number(place: Place, results: Results) -> Number:
    found = results.at(place)
    paper = paper_numbers().get(place)
    return Number(place, found.value if found else None, found.of_99 if found else None, paper)


def _text(number: Number | None) -> str:
    return "" if number is None else str(number)


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _markdown_row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"

"""The report that `teach` leaves beside a taught recipe and prints at its end: the report of `fit`, and the preview."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cmfm_worker.cli.closing_page import write_report
from cmfm_worker.cli.closing_tables import repeated_in_words, suspects_in_words
from cmfm_worker.cli.console import show_table
from cmfm_worker.cli.fit_summary import show, summary
from cmfm_worker.recipes.recipe import LoadedRecipe
from cmfm_worker.teaching.collected_parts import gain
from cmfm_worker.teaching.from_collected import TaughtProduct
from cmfm_worker.teaching.preview import Preview, PreviewedPart

PREVIEW_FILE: Final = "preview.json"

SHOWN_PARTS: Final = 20
"""Parts of the preview that are printed: those whose verdict would change first."""


@dataclass(frozen=True, slots=True)
class TaughtReport:
    """The report of a product's teaching; `name` is the recipe's."""

    product: str
    name: str
    found: TaughtProduct

    @property
    def remarks(self) -> list[str]:
        """Lines for the person who teaches: parts that were left out, and parts that look mislabelled."""
        found = self.found
        repeated = repeated_in_words(found.taught.nominal)
        return [*found.chosen.remarks(), *repeated, *suspects_in_words(found.closing, "teach")]

    @property
    def gain(self) -> str:
        """Say what ten further parts would buy."""
        return gain(len(self.found.chosen.good))

    def write(self, folder: Path) -> None:
        """Write the report into the recipe's empty report folder. Raises OSError."""
        write_report(folder, self.found.closing, self.name, self.remarks)
        preview = {
            "product": self.product,
            "taught_from": [part.name for part in self.found.chosen.good],
            "remarks": self.remarks,
            **self.found.preview.figures(),
        }
        (folder / PREVIEW_FILE).write_text(
            json.dumps(preview, indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )

    def figures(self, loaded: LoadedRecipe) -> dict[str, Any]:
        """Return the summary for programs: that of `fit`, and the counts of the preview."""
        counts = {key: value for key, value in self.found.preview.figures().items() if key != "parts"}
        figures = summary(self.found.taught, loaded, self.found.closing)
        return {
            "product": self.product,
            **figures,
            "preview": counts,
            "remarks": self.remarks,
            "gain": self.gain,
        }

    def show(self, loaded: LoadedRecipe) -> None:
        """Print the tables of `fit`, then the preview."""
        show(self.found.taught, loaded, self.found.closing)
        show_preview(self.found.preview)


def show_preview(preview: Preview) -> None:
    """Print what the recipe would have decided, parts with another verdict first."""
    new = sorted(
        (part for part in preview.parts if part.seen == "new"),
        key=lambda part: part.verdict == part.new_verdict,
    )
    changed = sum(part.verdict != part.new_verdict for part in new)
    title = f"preview: {len(new)} recent parts that were not taught from, {changed} with another verdict"
    show_table(
        f"{title}, of which {SHOWN_PARTS} are shown" if len(new) > SHOWN_PARTS else title,
        ["part", "called", "decided", "score", "would be", "score"],
        [_row(part) for part in new[:SHOWN_PARTS]],
    )


def _row(part: PreviewedPart) -> list[str]:
    called = part.use if part.use != "left_out" else "nothing"
    return [part.part, called, part.verdict, _score(part.score), part.new_verdict, _score(part.new_score)]


def _score(score: float | None) -> str:
    return "–" if score is None else f"{score:.4g}"

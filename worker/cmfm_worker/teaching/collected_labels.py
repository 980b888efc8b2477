"""The collected parts that people called good or bad: measured against, never used to set a limit here."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cmfm_protocol.files.part_files import GOOD, PartFiles
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_records.archived_part import RGB_FILE, XYZ_FILE
from cmfm_records.collected import CollectedPart, read_product
from cmfm_worker.cfm.metrics.binomial import Share
from cmfm_worker.recipes.recipe import Recipe
from cmfm_worker.recipes.sections import ThresholdSection

BAD: Final = "bad"

BY_SCORE: Final = (Reason.BELOW_THRESHOLD, Reason.ABOVE_THRESHOLD, Reason.GREY_BAND, Reason.DRIFT)
"""Reasons of verdicts that another threshold would change; a part outside a limit stays UNDECIDED."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Labelled parts of a product. `taught`: good ones that were left out because the recipe was taught from them."""

    good: tuple[CollectedPart, ...] = ()
    bad: tuple[CollectedPart, ...] = ()
    taught: int = 0

    def in_words(self) -> str:
        """Return how many there are, for people."""
        also = f"; {self.taught} more good ones were taught from" if self.taught else ""
        return f"labelled collected parts: {len(self.good)} good, {len(self.bad)} bad{also}"

    def files(self) -> list[PartFiles]:
        """Return the files of the parts whose pictures are there, for an inspection."""
        return [
            PartFiles(part.name, "collected", label, part.folder / RGB_FILE, part.folder / XYZ_FILE, None)
            for label, parts in ((GOOD, self.good), (BAD, self.bad))
            for part in parts
            if (part.folder / RGB_FILE).is_file() and (part.folder / XYZ_FILE).is_file()
        ]


@dataclass(frozen=True, slots=True)
class LabelledVerdicts:
    """Verdicts on labelled parts by the scores that the line recorded; `other_model`: their scores are of another."""

    good: Counter[Verdict]
    bad: Counter[Verdict]
    other_model: int

    @property
    def false_rejects(self) -> Share:
        """Good parts that would not PASS."""
        return Share(self.good.total() - self.good[Verdict.PASS], self.good.total())

    @property
    def escapes(self) -> Share:
        """Bad parts that would PASS."""
        return Share(self.bad[Verdict.PASS], self.bad.total())


def labels_of(collected: Path, product: str, recipe: Recipe) -> Labels:
    """Read the labelled parts of a product. A part without a decision has no label.

    Good parts that were decided before the recipe was taught from this product are left out: it was taught from them.
    Raises InputError if the product cannot be read.
    """
    decided = [part for part in read_product(collected, product).parts if part.choice is not None]
    good = [part for part in decided if part.use == "good"]
    new = [part for part in good if not _taught_from(part, product, recipe)]
    bad = tuple(part for part in decided if part.use == "bad")
    return Labels(tuple(new), bad, len(good) - len(new))


def judged_again(labels: Labels, recipe: Recipe, threshold: ThresholdSection) -> LabelledVerdicts:
    """Return what a threshold would have decided, by recorded scores. Only scores of the recipe's model count."""
    found = LabelledVerdicts(Counter(), Counter(), 0)
    other = 0
    for counts, parts in ((found.good, labels.good), (found.bad, labels.bad)):
        for part in parts:
            verdict = _verdict(part, recipe, threshold)
            if verdict is None:
                other += 1
            else:
                counts[verdict] += 1
    return LabelledVerdicts(found.good, found.bad, other)


def _taught_from(part: CollectedPart, product: str, recipe: Recipe) -> bool:
    made = recipe.provenance
    if (made.dataset, made.category) != ("collected", product) or part.choice is None:
        return False
    try:
        return datetime.fromisoformat(part.choice.at) <= datetime.fromisoformat(made.fitted_at)
    except (ValueError, TypeError):  # a time that somebody wrote by hand
        return True


def _verdict(part: CollectedPart, recipe: Recipe, threshold: ThresholdSection) -> Verdict | None:
    score, recorded = part.facts["score"], part.facts["verdict"]
    if part.facts["model_sha"] != recipe.model_sha or not isinstance(score, float | int):
        return None
    if part.facts["reason"] not in BY_SCORE:
        return Verdict(recorded) if recorded in tuple(Verdict) else None
    if score >= threshold.fail_at:
        return Verdict.FAIL
    if threshold.grey_from is not None and score >= threshold.grey_from:
        return Verdict.UNDECIDED
    return Verdict.PASS

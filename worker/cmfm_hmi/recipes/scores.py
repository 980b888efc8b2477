"""Scores of a recipe's parts as JSON: recent ones from the ledger, and those that people called good or bad."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from cmfm_hmi.recipes.files import RecipeView
from cmfm_hmi.rendering import when
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_records.collected import CollectedPart, Product
from cmfm_records.ledger import Record
from cmfm_records.rates import clopper_pearson

RECENT_PARTS: Final = 1000
"""Newest parts that are judged again in the browser."""

BY_SCORE: Final = frozenset({Reason.BELOW_THRESHOLD, Reason.ABOVE_THRESHOLD, Reason.GREY_BAND})
"""Reasons of verdicts that the score alone decided. A part with the reason drift FAILs by its score too, and never
PASSes; the others hold whatever the score."""

MAX_LABELLED: Final = 5000
"""Newest labelled parts that are measured."""


def recent_parts(rows: Iterable[Record], model: str) -> dict[str, Any]:
    """Return rows of the ledger, oldest first, column by column; `others` counts those of another model.

    A part that no model saw (a FAULT) stays: its verdict counts, and no threshold changes it.
    """
    taken, others = [], 0
    for row in rows:
        if row["model_sha"] in ("", model):
            taken.append(row)
        else:
            others += 1
    boots = list(dict.fromkeys(str(row["boot_id"]) for row in taken))
    number = {boot: at for at, boot in enumerate(boots)}
    return {
        "boots": boots,
        "boot": [number[str(row["boot_id"])] for row in taken],
        "id": [row["result_id"] for row in taken],
        "part": [row["part_id"] for row in taken],
        "when": [when(int(str(row["done_ns"])), "%m-%d %H:%M:%S") for row in taken],
        **_judged(taken),
        "others": others,
    }


def newest_threshold(rows: Sequence[Record], model: str) -> float | None:
    """Return the threshold by which the newest part of a model was judged; None without one."""
    found = (row["threshold"] for row in reversed(rows) if row["model_sha"] == model)
    return next((value for value in found if isinstance(value, float)), None)


def labelled_parts(product: Product, recipe: RecipeView, model: str) -> dict[str, Any]:
    """Return the parts that somebody called good or bad, with intervals of every rate that a threshold may give.

    Good parts that the recipe was taught from are left out: their scores are too low. Only parts that this model scored
    can be measured; `others` counts those that it did not. `recipe threshold` counts alike.
    """
    chosen = [part for part in product.parts if part.choice is not None][-MAX_LABELLED:]
    found: dict[str, Any] = {"others": 0}
    for use in ("good", "bad"):
        of_use = [
            part for part in chosen if part.use == use and not (use == "good" and _taught_from(part, recipe))
        ]
        scored = [part.facts for part in of_use if _scored(part, model)]
        found["others"] += len(of_use) - len(scored)
        found[use] = {**_judged(scored, drifted="PASS"), "intervals": intervals(len(scored))}
    return found


def _taught_from(part: CollectedPart, recipe: RecipeView) -> bool:
    """True for a part that was decided about before the recipe was taught from this product."""
    made = recipe.section("provenance")
    if (made.get("dataset"), made.get("category")) != ("collected", recipe.name) or part.choice is None:
        return False
    try:
        return datetime.fromisoformat(part.choice.at) <= datetime.fromisoformat(made.get("fitted_at", ""))
    except (ValueError, TypeError):  # a time that somebody wrote by hand
        return True


def intervals(total: int) -> list[tuple[float, float]]:
    """Return the 95 % interval of the rate for each count of 0 to `total` parts; empty for none."""
    if total == 0:
        return []
    pairs = (clopper_pearson(count, total) for count in range(total + 1))
    return [(float(f"{low:.4g}"), float(f"{high:.4g}")) for low, high in pairs]


def _scored(part: CollectedPart, model: str) -> bool:
    return part.facts["model_sha"] == model and isinstance(part.facts["score"], int | float)


def _judged(parts: Sequence[Mapping[str, Any]], drifted: str = "UNDECIDED") -> dict[str, Any]:
    """Score, verdict, and the verdict below all limits of the score, each a list; None where no score decides."""
    below = dict.fromkeys(BY_SCORE, "PASS") | {Reason.DRIFT: drifted}
    return {
        "score": [part["score"] for part in parts],
        "verdict": [str(Verdict(part["verdict"])) for part in parts],
        "below": [None if part["score"] is None else below.get(part["reason"]) for part in parts],
    }

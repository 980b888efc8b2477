"""The decisions of a threshold about the collected parts that people called good or bad."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmfm_worker.cfm.metrics.binomial import Share
from cmfm_worker.recipes.sections import ThresholdSection

if TYPE_CHECKING:
    from cmfm_worker.recipes.recipe import Recipe


def labelled_figures(
    collected: Path | None, product: str, recipe: "Recipe", threshold: ThresholdSection
) -> dict[str, Any] | None:
    """Return the verdicts on labelled parts for programs; None without a folder. Raises InputError."""
    from cmfm_worker.teaching.collected_labels import judged_again, labels_of

    if collected is None:
        return None
    labels = labels_of(collected, product, recipe)
    found = judged_again(labels, recipe, threshold)
    counts = {
        label: {str(verdict).lower(): number for verdict, number in sorted(of_label.items())}
        for label, of_label in (("good", found.good), ("bad", found.bad))
    }
    return {
        **counts,
        "false_rejects": _share(found.false_rejects),
        "escapes": _share(found.escapes),
        "other_model": found.other_model,
        "taught": labels.taught,
    }


def labelled_facts(figures: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return the same for people."""
    if figures is None:
        return []
    facts = [
        ("labelled good", _in_words(figures["false_rejects"], "would not PASS")),
        ("labelled bad", _in_words(figures["escapes"], "would PASS")),
    ]
    if figures["other_model"]:
        facts.append(
            (
                "not measured",
                f"{figures['other_model']} labelled parts, inspected by another model: `calibrate`",
            )
        )
    return facts


def _share(share: Share) -> dict[str, Any]:
    low, high = share.interval or (None, None)
    return {"count": share.count, "of": share.of, "rate": share.rate, "low": low, "high": high}


def _in_words(share: dict[str, Any], what: str) -> str:
    if not share["of"]:
        return "none"
    return (
        f"{share['count']} of {share['of']} {what}, 95 % interval {share['low']:.1%} to {share['high']:.1%}"
    )

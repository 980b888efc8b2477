"""The report of `cmfm-worker calibrate`: the limits, their expected rates, and the counts on labelled parts."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cmfm_protocol.files.dataset import GOOD
from cmfm_protocol.pictures.score_picture import ScoreGroup, score_picture
from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.cfm.metrics.binomial import Share
from cmfm_worker.cli.closing_tables import rates_in_words, suspects_summary
from cmfm_worker.cli.console import show_facts, show_table
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.recipe import Recipe
from cmfm_worker.teaching.calibrate import Calibration
from cmfm_worker.teaching.closing import Closing
from cmfm_worker.teaching.labelled_trial import CurvePoint, KindTally, curve, tally_kinds
from cmfm_worker.teaching.simulated_trial import SimulatedTrial
from cmfm_worker.teaching.trade_off import trade_offs

VERDICTS = (Verdict.PASS, Verdict.UNDECIDED, Verdict.FAIL, Verdict.FAULT)


def figures(found: Calibration) -> dict[str, Any]:
    """Return the report for programs. `labelled` is None without a labelled set, a rate is None if nothing counts."""
    recipe = found.recipe
    return {
        "recipe": recipe.name,
        "model_sha": recipe.model_sha,
        "threshold": recipe.model_dump(mode="json")["threshold"],
        "coverage": recipe.coverage.model_dump(mode="json"),
        "limits": recipe.limits.model_dump(mode="json"),
        "frame": recipe.frame.model_dump(mode="json"),
        "before": found.before.model_dump(mode="json", include={"threshold", "coverage", "limits", "frame"}),
        "nominal": {
            "parts": len(found.nominal),
            "unlucky_false_reject_rate": found.unlucky_rate,
            "fail": _share(found.nominal_failed),
            "undecided": _share(found.nominal_undecided),
        },
        "labelled": _labelled(found) if found.labelled else None,
    }


def remarks(found: Calibration) -> Iterator[str]:
    """Yield the warnings for the person who calibrates."""
    before = found.before.threshold
    if before is not None and before.grey_from is not None and found.threshold.grey_from is None:
        yield (
            f"the recipe had a grey band from {before.grey_from:.6g} on and has none now; "
            "set one with --grey-rate or --grey-from"
        )
    for part in found.labelled:
        if part.problem is not None:
            yield f"not inspected: {part.id}: {part.problem}"


def show(found: Calibration, closing: Closing) -> None:
    """Print the limits before and after, then the counts on the labelled set with them and at other rates."""
    facts = [*_facts(found), ("mislabelled parts", suspects_summary(closing))]
    show_facts(f"limits of recipe {found.recipe.name!r}", facts)
    if not found.labelled:
        return
    tallies = tally_kinds(found.labelled, found.recipe)
    show_table(
        "labelled parts, for information only: escapes (a defect PASSes), false rejects (good, not PASS)",
        ["label", "parts", *map(str, VERDICTS), "rate", "95 % in %"],
        [_tally_row(tally) for tally in tallies],
    )
    show_table(
        "UNDECIDED and FAIL separately", ["", "count", "of", "rate", "95 % in %"], _separately(tallies)
    )
    show_table(
        "at other false-reject rates, without a grey band",
        ["rate", "FAIL from", "escapes", "95 % in %", "false rejects", "95 % in %"],
        [_curve_row(point) for point in _curve(found)],
    )


def draw(found: Calibration, path: Path) -> None:
    """Draw a histogram of all scores with the limits as PNG. Raises InputError if it cannot be written."""
    kinds = sorted({part.defect for part in found.labelled}, key=lambda kind: (kind != GOOD, kind))
    groups = [ScoreGroup("nominal", [part.score for part in found.nominal])]
    for kind in kinds:
        scores = [part.score for part in found.labelled if part.defect == kind]
        groups.append(ScoreGroup(f"labelled {kind}", scores))
    limits = found.threshold
    title = f"Scores and limits of recipe {found.recipe.name}"
    image = score_picture(groups, fail_at=limits.fail_at, grey_from=limits.grey_from, title=title)
    try:
        image.save(path, format="PNG")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


def _facts(found: Calibration) -> list[tuple[str, str]]:
    recipe, parts = found.recipe, len(found.nominal)
    facts = [("FAIL from", f"{_fail_at(found.before)} → {_fail_at(recipe)}")]
    facts.append(("UNDECIDED from", f"{_grey_from(found.before)} → {_grey_from(recipe)}"))
    before, after = (one.limits.in_words(one.coverage) for one in (found.before, recipe))
    facts += [(name, f"{before.get(name, 'none')} → {words}") for name, words in after.items()]
    facts.append(("outside: UNDECIDED", recipe.limits.rate_in_words()))
    if found.before.frame != recipe.frame:
        facts.append(
            ("frames", f"{found.before.frame.in_words()} → {recipe.frame.in_words()}; others are FAULTs")
        )
    source = found.threshold.origin.parts if found.threshold.origin else ""
    facts.append(("nominal parts", f"{parts} of {source}"))
    facts += _rate_facts(found)
    grey_rate = found.threshold.target_grey_rate
    if grey_rate is not None:
        facts.append(("grey band", f"expected: at most {grey_rate:.2%} more are UNDECIDED by score"))
    elif found.threshold.grey_from is not None or found.nominal_undecided.count:
        facts.append(("UNDECIDED", _in_words(found.nominal_undecided)))
    smallest = found.threshold.supported_false_reject_rate
    if smallest is not None:
        facts.append(
            ("smallest rate", f"{parts} parts support no rate below 1/{1 / smallest:.0f} = {smallest:.2%}")
        )
    return facts


def _rate_facts(found: Calibration) -> list[tuple[str, str]]:
    """Say how many good parts will be rejected, and how far off that may be."""
    if found.threshold.target_false_reject_rate is None:
        return [("false rejects", f"FAIL: {_in_words(found.nominal_failed)}")]
    words = rates_in_words(found.threshold, trade_offs(found.threshold, SimulatedTrial()))
    if found.unlucky_rate is None:
        return [("false rejects", words)]
    promise = f"one calibration in 20 has a rate above {found.unlucky_rate:.2%}"
    return [("false rejects", f"{words}; {promise}")]


def _fail_at(recipe: Recipe) -> str:
    return "none" if recipe.threshold is None else f"{recipe.threshold.fail_at:.6g}"


def _grey_from(recipe: Recipe) -> str:
    grey_from = recipe.threshold.grey_from if recipe.threshold else None
    return "no grey band" if grey_from is None else f"{grey_from:.6g}"


def _in_words(share: Share) -> str:
    return f"{share.count} of {share.of} nominal parts: {_rate(share)}, 95 % interval {_interval(share)} %"


def _tally_row(tally: KindTally) -> list[str]:
    counts = [str(tally.verdicts[verdict]) for verdict in VERDICTS]
    return [tally.kind, str(tally.parts), *counts, _rate(tally.mistakes), _interval(tally.mistakes)]


def _separately(tallies: Sequence[KindTally]) -> list[list[str]]:
    """Make the rows for the good parts and for all defective ones; the counts of each kind are in another table."""
    shares = []
    for tally in tallies:
        if tally.good:
            shares.append(("good, FAIL", tally.share(Verdict.FAIL)))
        if tally.good or tally is tallies[-1]:
            shares.append((f"{tally.kind}, UNDECIDED", tally.share(Verdict.UNDECIDED)))
    return [[name, str(s.count), str(s.of), _rate(s), _interval(s)] for name, s in shares]


def _curve(found: Calibration) -> list[CurvePoint]:
    return curve(found.labelled, found.recipe)


def _curve_row(point: CurvePoint) -> list[str]:
    shares = (point.escapes, point.false_rejects)
    columns = [text for share in shares for text in (f"{share.count} of {share.of}", _interval(share))]
    mark = "* " if point.asked else ""
    return [f"{mark}{point.false_reject_rate:.2%}", f"{point.fail_at:.5g}", *columns]


def _rate(share: Share) -> str:
    return "-" if share.rate is None else f"{share.rate:.1%}"


def _interval(share: Share) -> str:
    if share.interval is None:
        return "-"
    low, high = share.interval
    return f"{100 * low:.1f}–{100 * high:.1f}"


def _share(share: Share) -> dict[str, Any]:
    low, high = share.interval or (None, None)
    return asdict(share) | {"rate": share.rate, "low": low, "high": high}


def _labelled(found: Calibration) -> dict[str, Any]:
    tallies = tally_kinds(found.labelled, found.recipe)
    return {
        "parts": len(found.labelled),
        "kinds": {
            tally.kind: {
                "parts": tally.parts,
                "verdicts": {str(verdict): tally.verdicts[verdict] for verdict in VERDICTS},
                ("false_rejects" if tally.good else "escapes"): _share(tally.mistakes),
                "fail": _share(tally.share(Verdict.FAIL)),
                "undecided": _share(tally.share(Verdict.UNDECIDED)),
            }
            for tally in tallies
        },
        "not_inspected": {part.id: part.problem for part in found.labelled if part.problem is not None},
        "curve": [
            {
                "false_reject_rate": point.false_reject_rate,
                "fail_at": point.fail_at,
                "escapes": _share(point.escapes),
                "false_rejects": _share(point.false_rejects),
                "asked": point.asked,
            }
            for point in _curve(found)
        ],
    }

"""The closing tables of `fit` and `calibrate`: thresholds, simulated defects caught, and parts to look at."""

from collections.abc import Sequence
from typing import Final

from cmfm_worker.cfm.metrics.binomial import Share
from cmfm_worker.cfm.metrics.outliers import LEAST_SCORES
from cmfm_worker.cli.console import show_table
from cmfm_worker.recipes.sections import ThresholdSection
from cmfm_worker.teaching.closing import Closing
from cmfm_worker.teaching.nominal_score import NominalScore
from cmfm_worker.teaching.simulated_trial import KINDS, LINE, SIZES, SimulatedTrial
from cmfm_worker.teaching.trade_off import TradeOff, trade_offs

OTHER_RATE: Final = 0.01
"""The rate that is compared with the recipe's in words."""

_NEXT_TO_NOTHING: Final = 1e-4


def show_closing(closing: Closing) -> None:
    """Print the thresholds with what they cost and catch, and the nominal parts with the highest scores."""
    points, tried = trade_offs(closing.threshold, closing.trial), bool(closing.trial.scores)
    rows = [[expected(each), interval(each.interval), f"{each.fail_at:.4g}"] for each in points]
    show_table(
        "thresholds (* the recipe's): good parts rejected" + (", simulated defects caught" if tried else ""),
        ["good parts rejected", "95 % interval", "FAIL from", *(["caught"] if tried else [])],
        [[*row, *([share(each.caught)] if tried else [])] for row, each in zip(rows, points, strict=True)],
    )
    if tried:
        show_table(
            "simulated defects caught, by good parts rejected",
            ["simulated defect", "parts", *(short(point) for point in points)],
            caught_rows(closing.trial, points),
        )
    show_table(
        "look at these nominal parts: are they good?",
        ["part", "score", "seen", "verdict"],
        [
            [
                part.nominal.name,
                f"{part.nominal.score:.4g}",
                part.nominal.seen,
                verdict(part.nominal.score, closing.threshold),
            ]
            for part in closing.worst
        ],
    )


def suspects_in_words(closing: Closing, command: str, *, report: bool = True) -> list[str]:
    """Return what to do about nominal parts that look mislabelled; `command` is "fit" or "calibrate".

    `report`: a report with their pictures is written.
    """
    suspects = closing.suspects
    if not suspects.parts or suspects.usual is None:
        return []
    names = ", ".join(f"{each.name} ({each.score:.3g})" for each in suspects.parts)
    options = " ".join(f"--leave-out {_quoted(each.name)}" for each in suspects.parts)
    seen_in = " in the recipe's report" if report else " (a dry run writes no report)"
    its, it = ("its picture", "it") if len(suspects.parts) == 1 else ("their pictures", "one")
    return [
        f"mislabelled or a rare view: {names}; all other nominal parts score {suspects.usual:.3g} or less.",
        f"  Look at {its}{seen_in}. If {it} has a defect, leave it out and {command} again: {options}",
        "  If it is good, it shows a view that the recipe hardly knows, and such parts will FAIL: teach more of them.",
    ]


def suspects_summary(closing: Closing) -> str:
    """Return in one line which nominal parts look mislabelled."""
    suspects = closing.suspects
    if suspects.limit is None:
        return f"{LEAST_SCORES} scores of nominal parts are needed to tell, there are {len(closing.nominal)}"
    if not suspects.parts:
        return f"none (no score above {suspects.limit:.4g})"
    return f"{', '.join(each.name for each in suspects.parts)}, or a rare view; see below"


def repeated_in_words(nominal: Sequence[NominalScore]) -> list[str]:
    """Return a warning if nominal parts have the score of another one."""
    repeated = len(nominal) - len({f"{each.score:.6g}" for each in nominal})
    if not repeated:
        return []
    return [
        f"{repeated} of {len(nominal)} nominal parts have exactly the score of another one: a duplicated picture "
        "counts as one part only"
    ]


def rates_in_words(threshold: ThresholdSection, points: Sequence[TradeOff]) -> str:
    """Say how many good parts will be rejected, and what it would be with another rate."""
    parts = len(threshold.nominal_scores)
    asked = next(point for point in points if point.asked)
    supported = threshold.supported_false_reject_rate
    lowest = ", which support no lower rate" if supported is not None and asked.rate <= supported else ""
    text = (
        f"about {one_in(asked.rate)} good parts will be rejected ({percent(asked.rate)}; 95 % interval "
        f"{interval(asked.interval)}, from {parts} nominal parts{lowest})"
    )
    other = next((point for point in points if point.rate == OTHER_RATE and not point.asked), None)
    if other is not None:
        text += f"; with {percent(other.rate)} it would be {one_in(other.rate)}, FAIL at score ≥ {other.fail_at:.4g}"
    return text


def caught_rows(trial: SimulatedTrial, points: Sequence[TradeOff]) -> list[list[str]]:
    """Return one row for each size and each kind of simulated defect: its name, frames, and share caught."""
    rows = []
    for size in (*SIZES, LINE):
        shares = [point.by_size[size] for point in points]
        rows.append([size_in_words(trial, size), str(shares[0].of), *map(share, shares)])
    for kind in KINDS:
        shares = [point.by_kind[kind] for point in points]
        rows.append([f"{kind} alone" if " " not in kind else kind, str(shares[0].of), *map(share, shares)])
    return rows


def size_in_words(trial: SimulatedTrial, size: str) -> str:
    """Return a size with its diameters on the median part."""
    if trial.diameters_m is None or size not in trial.diameters_m:
        return size
    low, high = (1e3 * diameter for diameter in trial.diameters_m[size])
    return f"{size}, {low:.2g} to {high:.2g} mm"


def expected(point: TradeOff) -> str:
    """Return the expected share of good parts rejected; the recipe's own threshold is marked."""
    return f"{'* ' if point.asked else ''}{percent(point.rate)}, {one_in(point.rate)}"


def short(point: TradeOff) -> str:
    """Return the head of a column for one threshold."""
    return f"{'* ' if point.asked else ''}{percent(point.rate)}"


def one_in(rate: float) -> str:
    """Return a rate as "1 of N"."""
    return f"1 of {max(1 / rate, 1):.3g}" if rate > 0 else "none"


def percent(rate: float) -> str:
    """Return a rate in percent with at most three digits."""
    return f"{100 * rate:.3g} %"


def interval(bounds: tuple[float, float]) -> str:
    """Return an interval of rates in percent."""
    low, high = (f"{float(f'{100 * bound:.2g}'):g}" if bound >= _NEXT_TO_NOTHING else "0" for bound in bounds)
    return f"{low} to {high} %"


def share(of: Share) -> str:
    """Return a share in percent, or a dash without parts."""
    return "-" if of.rate is None else f"{of.rate:.0%}"


def verdict(score: float, threshold: ThresholdSection) -> str:
    """Return the verdict by score alone."""
    if score >= threshold.fail_at:
        return "FAIL"
    return "UNDECIDED" if threshold.grey_from is not None and score >= threshold.grey_from else "PASS"


def _quoted(name: str) -> str:
    from shlex import quote

    return quote(name)

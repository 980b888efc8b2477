"""Curves of the page Trends, from blocks of slots: medians with their spread, rejects an hour, percentile and drift."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_hmi.trends.blocks import BLOCK_SLOTS, NS_PER_S, Range
from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.nominal import USUAL_LIMIT, Reference, drift_limit
from cmfm_records.trend import MEASURES, VERDICTS, Sample, Slots

S_PER_H: Final = 3600
REJECTED: Final = (Verdict.FAIL, Verdict.UNDECIDED, Verdict.FAULT)
SCALES: Final = {"score": 1.0, "coverage": 1.0, "latency_us": 1e-3}
"""Factor of each measure on the page: latency is shown in ms."""

LEAST_RECENT: Final = 10
"""Parts that a window needs for a stability index."""

Curve = list[float | None]


@dataclass(frozen=True, slots=True)
class Nominal:
    """Scores and coverage of the nominal parts of a recipe; both may be empty."""

    score: Sequence[float] = ()
    coverage: Sequence[float] = ()
    drift_limit: float = USUAL_LIMIT


def curves_of(
    blocks: Mapping[int, Slots], over: Range, now_ns: int, nominal: Nominal, label: Callable[[int], str]
) -> dict[str, Any]:
    """Return all curves of a range as JSON; `label` is the text of a slot's start. A slot without parts has null."""
    span = _Span.of(blocks, over, now_ns)
    return {
        "slot_s": over.slot_s,
        "window_slots": over.window_slots,
        "labels": [label(span.start_ns + slot * over.slot_ns) for slot in range(over.slots)],
        "parts": int(span.counts.sum()),
        "missing_from": span.first,
        "measures": {name.removesuffix("_us"): _measure(span, at) for at, name in enumerate(MEASURES)},
        "threshold": _rounded(span.threshold),
        "percentile": _percentile(span, nominal.score),
        "rejects": _rejects(span, over, now_ns),
        "drift": {
            "score": _drift(span, over, span.sample.score, nominal.score, nominal.drift_limit),
            "coverage": _drift(span, over, span.sample.coverage, nominal.coverage, nominal.drift_limit),
        },
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Span:
    """The blocks of a range joined: arrays over its slots, and the sample with slots counted from its start.

    `first` is the first slot whose block is there.
    """

    start_ns: int
    first: int
    counts: NDArray[np.int64]
    least: NDArray[np.float64]
    greatest: NDArray[np.float64]
    threshold: NDArray[np.float64]
    sample: Sample

    @classmethod
    def of(cls, blocks: Mapping[int, Slots], over: Range, now_ns: int) -> "_Span":
        start_ns, slots = over.start_ns(now_ns), over.slots
        counts = np.zeros((slots, len(VERDICTS)), np.int64)
        least, greatest = (np.full((slots, len(MEASURES)), np.nan) for _ in range(2))
        threshold = np.full(slots, np.nan)
        samples, first = [], slots
        for block_ns, block in sorted(blocks.items()):
            offset = (block_ns - start_ns) // over.slot_ns
            inside = slice(max(offset, 0), min(offset + BLOCK_SLOTS, slots))
            taken = slice(inside.start - offset, inside.stop - offset)
            for array, part in (
                (counts, block.counts),
                (least, block.least),
                (greatest, block.greatest),
                (threshold, block.threshold),
            ):
                array[inside] = part[taken]
            samples.append(_moved(block.sample, offset, slots))
            first = min(first, inside.start)
        return cls(start_ns, first, counts, least, greatest, threshold, _joined(samples))


def _moved(sample: Sample, offset: int, slots: int) -> Sample:
    slot = sample.slot + offset
    inside = (slot >= 0) & (slot < slots)
    return Sample(
        slot[inside],
        sample.score[inside],
        sample.coverage[inside],
        sample.latency_us[inside],
        sample.of_model[inside],
    )


def _joined(samples: Sequence[Sample]) -> Sample:
    if not samples:
        nothing = np.empty(0)
        return Sample(nothing.astype(np.int64), nothing, nothing, nothing, nothing.astype(np.bool_))
    return Sample(
        np.concatenate([each.slot for each in samples]),
        np.concatenate([each.score for each in samples]),
        np.concatenate([each.coverage for each in samples]),
        np.concatenate([each.latency_us for each in samples]),
        np.concatenate([each.of_model for each in samples]),
    )


def _measure(span: _Span, at: int) -> dict[str, Curve]:
    name = MEASURES[at]
    medians = _medians(span.sample.slot, getattr(span.sample, name), len(span.counts))
    scale = SCALES[name]
    return {
        "median": _rounded(medians * scale),
        "least": _rounded(span.least[:, at] * scale),
        "greatest": _rounded(span.greatest[:, at] * scale),
    }


def _percentile(span: _Span, nominal: Sequence[float]) -> Curve | None:
    """Percentile of each slot's median score among the nominal ones; None without these, or parts of the model.

    The percentile grows with the score, so that of the median is the median of the percentiles.
    """
    scores = np.where(span.sample.of_model, span.sample.score, np.nan)
    if not len(nominal) or np.isnan(scores).all():
        return None
    medians, known = _medians(span.sample.slot, scores, len(span.counts)), np.sort(nominal)
    below, up_to = (np.searchsorted(known, medians, side) for side in ("left", "right"))
    return _rounded(np.where(np.isnan(medians), np.nan, (below + up_to) * (50.0 / len(known))))


def _rejects(span: _Span, over: Range, now_ns: int) -> dict[str, Any]:
    """Rejected parts an hour in each window, by verdict; counts of the whole range beside them."""
    seconds = np.full(over.slots // over.window_slots, float(over.window_slots * over.slot_s))
    seconds[-1] -= (
        over.slots * over.slot_s - (now_ns - span.start_ns) / NS_PER_S
    )  # the newest one is not over
    edges = _window_edges(over)
    windows = np.add.reduceat(span.counts, edges[:-1], axis=0) * (S_PER_H / seconds[:, None])
    return {
        "an_hour": {verdict.value: _rounded(windows[:, VERDICTS.index(verdict)]) for verdict in REJECTED},
        "total": {verdict.value: int(span.counts[:, at].sum()) for at, verdict in enumerate(VERDICTS)},
    }


def _drift(
    span: _Span, over: Range, values: NDArray[np.float64], nominal: Sequence[float], asked: float
) -> dict[str, Curve] | None:
    """Stability index and its limit in each window; None where nominal parts are too few, or all alike."""
    reference = Reference.of(nominal) if len(nominal) else None
    if reference is None:
        return None
    usable = span.sample.of_model & np.isfinite(values)
    index: Curve = []
    limit: Curve = []
    for first, end in pairwise(_window_edges(over)):
        recent = values[usable & (span.sample.slot >= first) & (span.sample.slot < end)]
        enough = len(recent) >= LEAST_RECENT
        index.append(_round(reference.stability(reference.count(recent.tolist()))) if enough else None)
        bins = len(reference.counts)
        limit.append(_round(drift_limit(asked, bins, reference.parts, len(recent))) if enough else None)
    return {"index": index, "limit": limit}


def _window_edges(over: Range) -> list[int]:
    """First slots of the windows, and the end. A range has a whole number of them."""
    return [*range(0, over.slots, over.window_slots), over.slots]


def _medians(slot: NDArray[np.int64], values: NDArray[np.float64], slots: int) -> NDArray[np.float64]:
    """Median of the finite values of each slot, NaN without one. (slots,) float64."""
    medians = np.full(slots, np.nan)
    finite = np.isfinite(values)
    order = np.argsort(slot[finite], kind="stable")
    sorted_slots, sorted_values = slot[finite][order], values[finite][order]
    found, starts = np.unique(sorted_slots, return_index=True)
    for at, group in zip(found, np.split(sorted_values, starts[1:]), strict=False):
        medians[at] = np.median(group)
    return medians


def _rounded(values: NDArray[np.float64]) -> Curve:
    return [_round(value) for value in values.tolist()]


def _round(value: float) -> float | None:
    """Four significant digits, for fewer bytes; None for NaN."""
    return None if not np.isfinite(value) else float(f"{value:.4g}")

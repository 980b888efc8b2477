"""Draws the report's charts as SVG: score histograms, ROC and PRO curves, quality against speed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cmfm_worker.cfm.metrics.evaluate import GOOD
from cmfm_worker.paper_tables.figures import Results
from cmfm_worker.paper_tables.paper import MEAN, Place
from cmfm_worker.paper_tables.variants import VARIANTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cmfm_worker.paper_tables.curves import Curve

_COLOURS: Final = {
    "product": "#c2185b",
    "sum": "#7e57c2",
    "max": "#8d6e63",
    "2d": "#1976d2",
    "3d": "#2e7d32",
}
_NAMES: Final = {"product": "Ψ", "sum": "Ψ₂D + Ψ₃D", "max": "max", "2d": "Ψ₂D", "3d": "Ψ₃D"}
_GOOD, _DEFECTIVE, _NOMINAL = "#2e7d32", "#c62828", "#90a4ae"
_BINS: Final = 30


class _Chart:
    """One chart, drawn without a display and without changing matplotlib's global settings."""

    def __init__(self, width_in: float, height_in: float) -> None:
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        self._figure = Figure(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasSVG(self._figure)

    def axes(self, count: int = 1) -> list[Axes]:
        found = [self._figure.add_subplot(1, count, i + 1) for i in range(count)]
        for axes in found:
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(visible=True, color="#eceff1")
            axes.set_axisbelow(True)
        return found

    def svg(self) -> str:
        """Return the drawing without the XML declaration and document type."""
        from matplotlib import rc_context

        out = io.StringIO()
        with rc_context({"svg.fonttype": "none"}):  # keeps text as text: smaller, and in the page's font
            self._figure.savefig(out, format="svg", metadata={"Date": None})
        text = out.getvalue()
        return text[text.index("<svg") :]


def score_chart(parts: Sequence[Mapping[str, Any]], nominal: Sequence[float], threshold: float | None) -> str:
    """Draw a histogram of the scores of good, defective and validation parts, with the threshold."""
    chart = _Chart(5.2, 2.9)
    (axes,) = chart.axes()
    good = [part["score"] for part in parts if part["defect"] == GOOD]
    defective = [part["score"] for part in parts if part["defect"] != GOOD]
    bins = np.histogram_bin_edges([*good, *defective, *nominal], bins=_BINS).tolist()
    axes.hist(nominal, bins, color=_NOMINAL, alpha=0.6, label=f"validation, good ({len(nominal)})")
    axes.hist(good, bins, color=_GOOD, alpha=0.6, label=f"test, good ({len(good)})")
    axes.hist(defective, bins, color=_DEFECTIVE, alpha=0.5, label=f"test, defective ({len(defective)})")
    if threshold is not None:
        axes.axvline(threshold, color="#263238", linestyle="--", linewidth=1.2, label="threshold")
    axes.set_xlabel("score")
    axes.set_ylabel("parts")
    axes.legend(fontsize=7, frameon=False)
    return chart.svg()


def roc_chart(curves: Mapping[str, Curve]) -> str:
    """Draw the detection rate over the false-reject rate of parts."""
    chart = _Chart(2.9, 2.9)
    (axes,) = chart.axes()
    _draw(axes, curves, step=True)
    axes.set_xlabel("good parts rejected")
    axes.set_ylabel("defective parts found")
    axes.legend(fontsize=7, frameon=False, loc="lower right")
    return chart.svg()


def pro_chart(curves: Mapping[str, Curve]) -> str:
    """Draw the per-region overlap over the false-positive rate of pixels: whole, and up to 30 % as integrated."""
    chart = _Chart(5.6, 2.9)
    whole, low = chart.axes(2)
    for axes in (whole, low):
        _draw(axes, curves, step=False)
        axes.set_xlabel("false-positive rate")
    low.set_xlim(0, 0.3)
    whole.axvline(0.3, color="#90a4ae", linestyle=":", linewidth=1)
    whole.set_ylabel("per-region overlap")
    return chart.svg()


def overview_chart(results: Results) -> str:
    """Draw quality over speed, one dot a variant (the paper's Figure 3)."""
    chart = _Chart(7.2, 3.2)
    for axes, metric, title in zip(
        chart.axes(2), ("i_auroc", "aupro_30"), ("mean I-AUROC", "mean AUPRO@30%"), strict=True
    ):
        for name in VARIANTS:
            if results.served.get(name) != name:
                continue
            found = [results.at(Place(0, name, "product", key, MEAN)) for key in ("fps", metric)]
            if found[0] is not None and found[1] is not None:
                axes.scatter(found[0].value, found[1].value, s=28)
                axes.annotate(
                    name,
                    (found[0].value, found[1].value),
                    fontsize=6,
                    xytext=(3, 3),
                    textcoords="offset points",
                )
        axes.set_xlabel("frames/s")
        axes.set_ylabel(title)
    return chart.svg()


def _draw(axes: Axes, curves: Mapping[str, Curve], *, step: bool) -> None:
    for name, curve in curves.items():
        if curve:
            x, y = zip(*curve, strict=True)
            style: dict[str, Any] = {
                "color": _COLOURS[name],
                "label": _NAMES[name],
                "linewidth": 2.0 if name == "product" else 1.0,
            }
            if step:
                axes.step(x, y, where="post", **style)
            else:
                axes.plot(x, y, **style)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)

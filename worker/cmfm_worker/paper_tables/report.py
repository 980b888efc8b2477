"""Makes the report of a run: one HTML page with the tables, curves, scores and pictures of chosen parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cmfm_worker.errors import InputError
from cmfm_worker.paper_tables.experiments import MAIN
from cmfm_worker.paper_tables.figures import Results
from cmfm_worker.paper_tables.print_tables import READING, PrintedTable


def require_report() -> None:
    """Raise InputError if a package that the report needs is not installed."""
    try:
        import jinja2  # noqa: F401
        import matplotlib as mpl  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"the HTML report needs {error.name}: pip install 'cmfm[report]', or give --no-report"
        ) from error


@dataclass(frozen=True, slots=True)
class _CategoryView:
    """The contents of the page for one category."""

    name: str
    facts: Sequence[tuple[str, str]]
    scores: str
    roc: str
    pro: str
    kinds: Sequence[Sequence[str]]
    pictures: Sequence[Mapping[str, Any]]
    left_out: Mapping[str, str]


def render_report(tables: Sequence[PrintedTable], results: Results, notes: Sequence[str], title: str) -> str:
    """Render the HTML page; pictures are linked by their path in the run's folder."""
    from importlib.resources import files

    from jinja2 import Environment

    from cmfm_worker.paper_tables.charts import overview_chart

    text = files("cmfm_worker.paper_tables").joinpath("report.html.j2").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)
    main = {
        category: results.experiments[category, MAIN]
        for category in results.categories
        if (category, MAIN) in results.experiments
    }
    return template.render(
        title=title,
        notes=notes,
        reading=READING,
        tables=tables,
        overview=overview_chart(results),
        categories=[_view(category, experiment) for category, experiment in main.items()],
    )


def _view(category: str, experiment: dict[str, Any]) -> _CategoryView:
    from cmfm_worker.paper_tables.charts import pro_chart, roc_chart, score_chart

    metrics, fit = experiment["metrics"], experiment["fit"]
    product = metrics["product"]
    return _CategoryView(
        name=category,
        facts=_facts(experiment),
        scores=score_chart(experiment["parts"], fit["validation_scores"], fit["threshold"]),
        roc=roc_chart({name: of["roc_curve"] for name, of in metrics.items()}),
        pro=pro_chart({name: of["pro_curve"] for name, of in metrics.items()}),
        kinds=[
            [kind, *(_number(of[key]) for key in ("i_auroc", "aupro", "aupro_foreground"))]
            for kind, of in product["per_defect"].items()
        ],
        pictures=experiment.get("pictures", []),
        left_out={**experiment["not_inspected"], **experiment["torn"]},
    )


def _facts(experiment: dict[str, Any]) -> list[tuple[str, str]]:
    product, fit = experiment["metrics"]["product"], experiment["fit"]
    verdicts = experiment.get("verdicts", {})
    return [
        ("I-AUROC", _number(product["i_auroc"])),
        ("P-AUROC", _number(product["p_auroc"])),
        ("AUPRO@30%", _number(product["aupro"]["0.3"])),
        ("AUPRO@1%", _number(product["aupro"]["0.01"])),
        ("taught from", f"{fit['parts']} parts, {fit['epochs']} epochs in {fit['seconds']:.0f} s"),
        ("threshold", _number(fit["threshold"])),
        ("verdicts", ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items() if count) or "–"),
        ("escapes", str(experiment.get("escapes", "–"))),
        ("false rejects", str(experiment.get("false_rejects", "–"))),
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"

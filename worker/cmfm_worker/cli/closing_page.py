"""Writes the closing report into a recipe's folder: a page for people, the figures for programs, pictures of parts."""

import base64
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from PIL import Image

from cmfm_protocol.pictures.overlay import as_scored
from cmfm_protocol.pictures.panels import part_panel
from cmfm_worker.cfm.metrics.binomial import Share
from cmfm_worker.cli import closing_tables as words
from cmfm_worker.cli.closing_chart import Line, chart
from cmfm_worker.teaching.closing import Closing, WorstPart
from cmfm_worker.teaching.simulated_trial import LINE, SIZES
from cmfm_worker.teaching.trade_off import TradeOff, trade_offs, whole_curve

PAGE: Final = "report.html"
FIGURES: Final = "report.json"

_TILE_PX: Final = 240
_UNSAFE: Final = re.compile(r"[^\w.-]+")


def write_report(folder: Path, closing: Closing, recipe: str, advice: list[str]) -> None:
    """Write page, figures and pictures into `folder`, which exists. `advice` is about parts that look mislabelled.

    Raises OSError if a file cannot be written.
    """
    pictures = {picture_name(i, part): _panel(closing, part) for i, part in enumerate(closing.worst, start=1)}
    for name, picture in pictures.items():
        picture.save(folder / name)
    figures = _figures(closing, list(pictures))
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    embedded = [base64.b64encode((folder / name).read_bytes()).decode() for name in pictures]
    (folder / PAGE).write_text(_page(closing, recipe, advice, embedded), encoding="utf-8")


def picture_name(rank: int, part: WorstPart) -> str:
    """Return the file name of a nominal part's picture: `good-1-bagel-train-good-012.png`."""
    return f"good-{rank}-{_UNSAFE.sub('_', part.nominal.name)[:120]}.png"


def _panel(closing: Closing, part: WorstPart) -> Image.Image:
    seen, score = part.seen, part.nominal.score
    return part_panel(
        seen.rgb,
        seen.depth,
        seen.psi_2d,
        seen.psi_3d,
        as_scored(seen.psi, score),
        threshold=closing.threshold.fail_at,
        title=part.nominal.name,
        verdict=words.verdict(score, closing.threshold),
        score=score,
        foreground=seen.foreground,
        reason="a nominal part: is it good?",
        tile_px=_TILE_PX,
    )


def _page(closing: Closing, recipe: str, advice: list[str], pictures: list[str]) -> str:
    from importlib.resources import files

    from jinja2 import Environment

    points = trade_offs(closing.threshold, closing.trial)
    text = files("cmfm_worker.cli").joinpath("closing_page.html.j2").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)
    return template.render(
        recipe=recipe,
        rates=words.rates_in_words(closing.threshold, points),
        points=points,
        words=words,
        rows=words.caught_rows(closing.trial, points),
        charts=_charts(closing),
        advice=advice,
        pictures=pictures,
    )


def _charts(closing: Closing) -> list[str]:
    curve = whole_curve(closing.threshold, closing.trial)
    x = [point.fail_at for point in curve]
    rejected = chart(
        "good parts rejected",
        x,
        [Line("expected", [point.rate for point in curve])],
        band=[point.interval for point in curve],
        marked=closing.threshold.fail_at,
        logarithmic=True,
    )
    if not closing.trial.scores:
        return [rejected]
    lines = [Line(size, [point.by_size[size].rate or 0.0 for point in curve]) for size in (*SIZES, LINE)]
    return [rejected, chart("simulated defects caught", x, lines, marked=closing.threshold.fail_at)]


def _figures(closing: Closing, pictures: list[str]) -> dict[str, Any]:
    trial, suspects = closing.trial, closing.suspects
    return {
        "threshold": closing.threshold.model_dump(
            mode="json", exclude={"validation_scores", "out_of_fold_scores"}
        ),
        "nominal_parts": [
            {"part": each.name, "score": each.score, "seen": each.seen} for each in closing.nominal
        ],
        "rates": [_point(point) for point in trade_offs(closing.threshold, trial)],
        "curve": [_point(point) for point in whole_curve(closing.threshold, trial)],
        "simulated_defects": [asdict(each) for each in trial.scores],
        "simulated_diameters_m": trial.diameters_m,
        "look_at": [
            {"part": part.nominal.name, "score": part.nominal.score, "picture": picture}
            for part, picture in zip(closing.worst, pictures, strict=True)
        ],
        "mislabelled_or_rare": {
            "parts": [each.name for each in suspects.parts],
            "limit": suspects.limit,
            "highest_of_the_others": suspects.usual,
        },
    }


def _point(point: TradeOff) -> dict[str, Any]:
    return {
        "false_reject_rate": point.rate,
        "interval": point.interval,
        "fail_at": point.fail_at,
        "asked": point.asked,
        "caught": _share(point.caught),
        "caught_by_size": {size: _share(share) for size, share in point.by_size.items()},
        "caught_by_kind": {kind: _share(share) for kind, share in point.by_kind.items()},
    }


def _share(share: Share) -> dict[str, Any]:
    return {"count": share.count, "of": share.of, "interval": share.interval}

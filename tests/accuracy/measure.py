"""Measures what presets reach on both families of made-up products and on real parts: the tables of docs/accuracy.md.

    python -m tests.accuracy.measure --work DIR [--presets lite,classic] [--seeds 0,1,2] [--categories …] [--shots K]
    python -m tests.accuracy.measure --work DIR --real ROOT --categories cable_gland

Made-up data sets are made once for each seed and kept in DIR. Figures are kept too, so an interrupted run continues. A
category is taught and measured as `cmfm-worker fit` and `evaluate` do with no option given. With `--real` ROOT is the
folder of a data set in the layout of MVTec 3D-AD, which is only read.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from cmfm_protocol.files.dataset import list_parts
from cmfm_sim.datasets.families import FAMILIES, family_of
from cmfm_sim.datasets.write import write_dataset
from cmfm_worker.cfm.anomaly_score import score
from cmfm_worker.cfm.equations import smoothed as smooth_map
from cmfm_worker.cfm.extractor import Preset
from cmfm_worker.cfm.metrics.evaluate import FrameOutcome, evaluate
from cmfm_worker.cfm.prepare import PreparedFrames
from cmfm_worker.datasets.test_split import Tally, split_outcomes
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.recipes.extractors import build_extractor
from cmfm_worker.recipes.folder import save_recipe
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.recipes.recipe import LoadedRecipe
from cmfm_worker.recipes.sections import BackgroundSection
from cmfm_worker.teaching.options import TeachOptions
from cmfm_worker.teaching.pieces import pieces_on
from cmfm_worker.teaching.teach import teach
from cmfm_worker.teaching.which_parts import choose_parts

Figures = dict[str, Any]


def main() -> None:
    """Make the data, teach, evaluate, print."""
    asked = _arguments()
    torch.set_num_threads(asked.threads)
    for preset in asked.presets:
        figures = [
            _measured(preset, asked.real or _made(category, seed, asked), category, seed, asked)
            for seed in asked.seeds
            for category in asked.categories
        ]
        print(f"{preset}:\n{table(figures)}\n\n{decisions(figures)}")


def decisions(figures: Sequence[Figures]) -> str:
    """Return markdown: one row a category and seed, with published limits and what the recipe's threshold decides."""
    lines = [
        "| category | seed | I-AUROC | P-AUROC | AUPRO@30 (99 thr.) | AUPRO@1 (99 thr.) | foreground AUPRO@30 "
        "| defective parts PASS | good parts rejected | fit s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for f in figures:
        values = [f["i_auroc"], f["p_auroc"], f["aupro_99"]["0.3"], f["aupro_99"]["0.01"]]
        values.append(f["aupro_foreground"]["0.3"])
        row = [f["category"], str(f["seed"]), *(f"{value:.3f}" for value in values)]
        row += [f"{f['escapes']} of {f['defective']}", f"{f['false_rejects']} of {f['good']}"]
        lines.append("| " + " | ".join([*row, f"{f['taught_s']:.0f}"]) + " |")
    return "\n".join(lines)


def table(figures: Sequence[Figures]) -> str:
    """Markdown: one row a family with means and worst kinds, then one row a kind, over categories and seeds."""
    lines = [
        "| family | runs | I-AUROC | of Ψ_2D alone | of Ψ_3D alone | AUPRO@30 foreground | image-wide "
        "| worst kind I-AUROC | worst kind AUPRO@30 foreground |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    kinds = ["| family | kind | I-AUROC | AUPRO@30 foreground | image-wide |", "|---|---|---|---|---|"]
    for name, family in FAMILIES.items():
        some = [f for f in figures if f["category"] in family.categories]
        if not some:
            continue
        of = {kind: _means([f["per_defect"][kind] for f in some]) for kind in family.defects}
        whole = [mean(f[key] for f in some) for key in ("i_auroc", "i_auroc_2d", "i_auroc_3d")]
        whole += [mean(f[key]["0.3"] for f in some) for key in ("aupro_foreground", "aupro")]
        worst = [min(of.items(), key=lambda item: item[1][key]) for key in ("i_auroc", "aupro_foreground")]
        named = [
            f"{worst[0][1]['i_auroc']:.3f} ({worst[0][0]})",
            f"{worst[1][1]['aupro_foreground']:.3f} ({worst[1][0]})",
        ]
        lines.append(f"| {name} | {len(some)} | " + " | ".join([*(f"{v:.3f}" for v in whole), *named]) + " |")
        kinds += [
            f"| {name} | {kind} | {row['i_auroc']:.3f} | {row['aupro_foreground']:.3f} | {row['aupro']:.3f} |"
            for kind, row in of.items()
        ]
    return "\n".join(["", *lines, "", *kinds])


def _measured(preset: Preset, root: Path, category: str, seed: int, asked: argparse.Namespace) -> Figures:
    kept = asked.work / f"{category}-{preset}-{asked.name}-{seed}.json"
    if kept.is_file():
        known: Figures = json.loads(kept.read_text())
        return known
    parts = choose_parts(root, category, shots=asked.shots, seed=seed)
    extractor = build_extractor(preset, None, device=torch.device("cpu"))
    options = TeachOptions(
        dataset=root.name,
        category=category,
        seed=seed,
        shots=asked.shots,
        distance=asked.distance,
        background=pieces_on(parts.train, BackgroundSection(), 4, extractor.device, lambda *_: None),
    )
    start = time.perf_counter()
    taught = teach(extractor, parts, options, category, lambda *_: None)
    taught_s = time.perf_counter() - start
    loaded = save_recipe(kept.with_suffix(".recipe"), taught.draft, taught.mapping, replace=True)
    figures = _figures(Inspector(extractor), loaded, root, category) | {
        "category": category,
        "preset": preset,
        "seed": seed,
        "taught_s": taught_s,
    }
    kept.write_text(json.dumps(figures))
    _say(figures)
    return figures


def _figures(inspector: Inspector, loaded: LoadedRecipe, root: Path, category: str) -> Figures:
    """Return `evaluate`'s metrics, and the I-AUROC of each modality's map alone."""
    model, tally = LoadedModel.of(loaded, torch.device("cpu")), Tally()
    test = list_parts(root, category, "test")
    alone: dict[str, list[float]] = {"i_auroc_2d": [], "i_auroc_3d": []}

    def outcomes() -> Iterator[FrameOutcome]:
        for files in test:
            yield from split_outcomes(_noting(inspector, alone), model, [files], 1, tally, lambda *_: None)

    frames = list(outcomes())
    figures = evaluate(frames, loaded.recipe.score.normalisation)
    for key, scores in alone.items():
        named = [
            FrameOutcome(f.psi, score, f.gt, f.defect, f.foreground)
            for f, score in zip(frames, scores, strict=True)
        ]
        figures[key] = evaluate(named, "absolute")["i_auroc"]
    good = sum(files.label == 0 for files in test)
    return figures | tally.as_figures() | {"good": good, "defective": len(test) - good}


def _noting(inspector: Inspector, alone: dict[str, list[float]]) -> Inspector:
    """Return the same inspector, which also records the score of each modality's map alone."""

    class Noting(Inspector):
        def inspect_prepared(
            self, frames: PreparedFrames, models: Sequence[LoadedModel], *refused: Any
        ) -> Any:
            found, how = super().inspect_prepared(frames, models, *refused), models[0].recipe.score
            for key, psi in (("i_auroc_2d", found.psi_2d), ("i_auroc_3d", found.psi_3d)):
                smoothed = smooth_map(psi, how.smoothing_px)
                alone[key] += score(smoothed, how.normalisation, how.highest_px).tolist()
            return found

    return Noting(inspector.extractor)


def _made(category: str, seed: int, asked: argparse.Namespace) -> Path:
    """Return the folder of a made-up data set, with the category made if it is not there yet."""
    root: Path = asked.work / f"seed{seed}"
    done = root / f"{category}.made"
    if done.is_file():
        return root
    write_dataset(
        root,
        categories=(category,),
        train=asked.train,
        validation=asked.validation,
        good=asked.good,
        per_defect=asked.per_defect,
        seed=seed,
        size_px=asked.size,
        jobs=asked.threads,
    )
    done.touch()
    return root


def _say(figures: Figures) -> None:
    print(
        f"{figures['preset']} {figures['category']} seed {figures['seed']}: I-AUROC {figures['i_auroc']:.3f} "
        f"(2D {figures['i_auroc_2d']:.3f}, 3D {figures['i_auroc_3d']:.3f}), "
        f"foreground AUPRO@30 {figures['aupro_foreground']['0.3']:.3f}, taught in {figures['taught_s']:.0f} s",
        flush=True,
    )


def _means(rows: Sequence[Figures]) -> dict[str, float]:
    return {key: mean(row[key] for row in rows) for key in ("i_auroc", "aupro", "aupro_foreground")}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole: Callable[[str], list[int]] = lambda text: [int(number) for number in text.split(",")]  # noqa: E731
    parser.add_argument("--work", type=Path, required=True, help="folder for data sets, recipes and figures")
    parser.add_argument("--seeds", type=whole, default=[0, 1, 2])
    every = [name for family in FAMILIES.values() for name in family.categories]
    parser.add_argument("--categories", type=lambda text: text.split(","), default=every)
    for option, default in (
        ("train", 50),
        ("validation", 10),
        ("good", 20),
        ("per-defect", 6),
        ("size", 400),
    ):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--shots", type=int, default=None, help="number of parts to teach on")
    parser.add_argument("--distance", choices=("angular", "standardised", "metric"), default=None)
    parser.add_argument("--real", type=Path, help="folder of real parts in the layout of MVTec 3D-AD")
    parser.add_argument("--presets", type=lambda text: text.split(","), default=["lite"])
    parser.add_argument("--name", default="default", help="figures and recipes are kept under it")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    for name in asked.categories if asked.real is None else ():
        family_of(name)
    asked.work.mkdir(parents=True, exist_ok=True)
    return asked


if __name__ == "__main__":
    main()

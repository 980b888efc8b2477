"""Compares the fit with the literal one on the synthetic set: `python -m tests.parity.fit_quality --help`.

The literal fit is the paper's (§ 3.2): in every epoch every part is read, its features are extracted, and all its
pixels pass the networks. The fast one extracts once and draws pixels. Otherwise both have the same options, first
weights and losses, and are evaluated on the same test split. Run it from the checkout.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from cmfm_protocol.files.dataset import PartFiles, list_parts
from cmfm_sim.datasets.synthetic import CATEGORIES
from cmfm_sim.datasets.write import write_dataset
from cmfm_worker.cfm.classic.extractor import ClassicExtractor
from cmfm_worker.cfm.extractor import Extractor
from cmfm_worker.cfm.fit.feature_store import FeatureStore
from cmfm_worker.cfm.fit.fit import MAX_GRADIENT, FitOptions, _losses, _new_pair, fit_mapping
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.cfm.metrics.evaluate import evaluate
from cmfm_worker.cfm.pixel_distances import distance_of
from cmfm_worker.cfm.prepare import BackgroundOptions, prepare
from cmfm_worker.datasets.batches import read_batches
from cmfm_worker.datasets.test_split import Tally, split_outcomes
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.recipes.recipe import Recipe
from cmfm_worker.recipes.sections import ExtractorSection, MappingSection, ProvenanceSection, ScoreSection

TOLERANCE = 0.005
AUPRO = "0.3"


@dataclass(frozen=True)
class Fitted:
    """A mapping, and the CPU seconds from files to networks."""

    mapping: MappingPair
    cpu_s: float


def fit_fast(extractor: Extractor, parts: list[PartFiles], options: FitOptions) -> Fitted:
    """Fit as `cmfm-worker fit` does."""
    began_s = time.process_time()
    with FeatureStore() as store, torch.no_grad():
        for batch in read_batches(parts, options.batch_images, extractor.device):
            frames = prepare(batch.rgb, batch.xyz, BackgroundOptions())
            store.add(extractor(frames), [file.id for file in batch.files])
        with torch.enable_grad():
            mapping, _ = fit_mapping(store, options)
    return Fitted(mapping, time.process_time() - began_s)


def fit_literally(extractor: Extractor, parts: list[PartFiles], options: FitOptions) -> Fitted:
    """Fit as the paper describes, with the options' epochs, batches, learning rate and networks."""
    began_s = time.process_time()
    generator = torch.Generator().manual_seed(options.seed)
    with FeatureStore() as store, torch.no_grad():  # for the channels' moments alone
        for batch in read_batches(parts, options.batch_images, extractor.device):
            frames = prepare(batch.rgb, batch.xyz, BackgroundOptions())
            store.add(extractor(frames), [file.id for file in batch.files])
        pair = _new_pair(store, options)
    networks = [*pair.to_3d.requires_grad_(True).parameters(), *pair.to_2d.requires_grad_(True).parameters()]
    optimiser = torch.optim.Adam(networks, lr=options.lr)
    steps = options.epochs * -(-len(parts) // options.batch_images)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(options.epochs):
        order = torch.randperm(len(parts), generator=generator).tolist()
        for batch in read_batches([parts[i] for i in order], options.batch_images, extractor.device):
            with torch.no_grad():
                features = extractor(prepare(batch.rgb, batch.xyz, BackgroundOptions()))
            optimiser.zero_grad()
            loss_2d, loss_3d = _losses(pair, features.e2d, features.e3d)
            (loss_2d + loss_3d).backward()
            if options.spread:
                torch.nn.utils.clip_grad_norm_(networks, MAX_GRADIENT)
            optimiser.step()
            if options.schedule == "cosine":
                schedule.step()
    for network in (pair.to_3d, pair.to_2d):
        network.eval().requires_grad_(False)
    return Fitted(pair, time.process_time() - began_s)


def quality(extractor: Extractor, mapping: MappingPair, parts: list[PartFiles]) -> dict[str, float]:
    """I-AUROC and AUPRO at 0.3 on a test split, by the code path of the line."""
    section = MappingSection.of(mapping, "0" * 64)
    recipe = Recipe(
        name="compared",
        extractor=ExtractorSection.of(extractor.identity),
        score=ScoreSection(distance=distance_of(mapping)),
        provenance=ProvenanceSection(made_by="fit", fitted_at=""),
        mapping=section,
    )
    model = LoadedModel(recipe, mapping, recipe.model_sha)
    found = split_outcomes(Inspector(extractor), model, parts, 1, Tally(), lambda *_: None)
    figures = evaluate(found, "absolute")
    return {"i_auroc": figures["i_auroc"], "aupro": figures["aupro"][AUPRO]}


def compare(root: Path, category: str, options: FitOptions) -> dict[str, Any]:
    """Run both fits of one category: quality and seconds."""
    extractor = ClassicExtractor(device=torch.device("cpu"))
    train, test = list_parts(root, category, "train"), list_parts(root, category, "test")
    found: dict[str, Any] = {"category": category}
    for name, fit in (("fast", fit_fast), ("literal", fit_literally)):
        fitted = fit(extractor, train, options)
        found[name] = {**quality(extractor, fitted.mapping, test), "cpu_s": fitted.cpu_s}
    return found


def summary(compared: list[dict[str, Any]]) -> dict[str, float]:
    """Means over the categories: how much better the fast fit is, and its share of the time."""
    means = {
        f"{key}_gain": mean(c["fast"][key] - c["literal"][key] for c in compared)
        for key in ("i_auroc", "aupro")
    }
    share = sum(c["fast"]["cpu_s"] for c in compared) / sum(c["literal"]["cpu_s"] for c in compared)
    return means | {"share_of_time": share}


def main() -> int:
    """Compare, print, and return 0 if the fast fit is as good."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--categories", default=",".join(CATEGORIES), help="comma list")
    parser.add_argument("--train", type=int, default=10, help="nominal parts")
    parser.add_argument("--per-defect", type=int, default=3)
    parser.add_argument("--size-px", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=FitOptions.for_preset("classic").epochs)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    # The parts alone: what the literal fit is compared with is the fit, not what else `classic` is taught from.
    classic = FitOptions.for_preset("classic")
    options = replace(classic, epochs=given.epochs, batch_images=2, pixels_per_image=1000, variations=0)
    compared = []
    with tempfile.TemporaryDirectory() as folder:
        for category in given.categories.split(","):
            write_dataset(
                Path(folder),
                categories=(category,),
                train=given.train,
                validation=0,
                good=2 * given.per_defect,
                per_defect=given.per_defect,
                seed=11,
                size_px=given.size_px,
            )
            compared.append(compare(Path(folder), category, options))
            print(json.dumps(compared[-1]), flush=True)
    found = summary(compared)
    print(json.dumps(found))
    return 0 if min(found["i_auroc_gain"], found["aupro_gain"]) >= -TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())

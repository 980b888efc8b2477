"""Builds the extractor of a recipe and checks that it is the one the recipe was taught on."""

from pathlib import Path
from typing import Final

import torch

from cmfm_worker.cfm.extractor import Extractor, ExtractorIdentity, Preset
from cmfm_worker.cfm.fast.graphs import GraphRecorder
from cmfm_worker.cfm.fast.precision import Precision
from cmfm_worker.cfm.image.models import DINO
from cmfm_worker.cfm.weights import KNOWN_HASHES, WeightsError
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.recipe import Recipe
from cmfm_worker.recipes.sections import ExtractorSection


def build_extractor(
    preset: Preset,
    weights: Path | None,
    *,
    blocks: int = 12,
    group_size: int = 128,
    device: torch.device,
    precision: Precision = "fp32",
    image: str = DINO,
    graphs: GraphRecorder | None = None,
) -> Extractor:
    """Build an extractor on `device`.

    `weights` is the folder of the published files of `paper`. Those of `lite` come with an installed package; `classic`
    has none. `precision` is the precision of the matrix products of `paper`, and "bf16" that of the convolutions of
    `lite`; filters are always float32. `image` names the 2D extractor of `paper`: dino,
    dinov2, sam, clip or timm's name of a vision transformer. With `graphs` its networks run as CUDA graphs.

    Raises InputError naming the folder, file and key.
    """
    if preset != "paper" and image not in ("dino", DINO):
        raise InputError(f"extractors {preset!r} have no image extractor to choose; {image} is for 'paper'")
    if preset == "classic":
        from cmfm_worker.cfm.classic.extractor import ClassicExtractor

        return ClassicExtractor(device=device)
    if preset == "lite":
        return _lite_extractor(device, precision)
    if weights is None:
        raise InputError("extractors 'paper' need --weights DIR; see `cmfm-worker weights list`")
    from cmfm_worker.cfm.paper_extractor import PaperExtractor
    from cmfm_worker.recipes.published_weights import require_weights

    require_weights(weights, image)
    try:
        return PaperExtractor(weights, blocks, group_size, device, precision, image, graphs)
    except (WeightsError, ValueError) as error:
        raise InputError(str(error)) from error


def _lite_extractor(device: torch.device, precision: Precision) -> Extractor:
    """Build the extractor of `lite`. Raises InputError if its weights are not installed as published."""
    from cmfm_worker.cfm.lite.extractor import LiteExtractor

    try:
        return LiteExtractor(device, torch.bfloat16 if precision == "bf16" else torch.float32)
    except WeightsError as error:
        raise InputError(str(error)) from error


def extractor_of(
    recipe: Recipe,
    weights: Path | None,
    device: torch.device,
    precision: Precision = "fp32",
    graphs: GraphRecorder | None = None,
) -> Extractor:
    """Build the extractor that a recipe needs. Raises InputError if the weights are not those it was taught with."""
    section = recipe.extractor
    extractor = build_extractor(
        section.preset,
        weights,
        blocks=section.blocks,
        group_size=section.group_size,
        device=device,
        precision=precision,
        image=section.image or DINO,
        graphs=graphs,
    )
    require_match(recipe, extractor.identity)
    return extractor


_TEACH_AGAIN: Final = ", which sees parts in another way; teach it again with `cmfm-worker fit`"


def require_match(recipe: Recipe, identity: ExtractorIdentity) -> None:
    """Raise InputError unless `recipe` was taught on this extractor. Names of weights files may differ."""
    taught, here = recipe.extractor, ExtractorSection.of(identity)
    for key in ("preset", "version", "image", "blocks", "group_size"):
        if getattr(taught, key) != getattr(here, key):
            raise InputError(
                f"recipe {recipe.name!r} was taught with extractor.{key} = {getattr(taught, key)!r}, "
                f"but this extractor has {getattr(here, key)!r}{_TEACH_AGAIN if key == 'version' else ''}"
            )
    if set(taught.sha256.values()) != set(here.sha256.values()):
        raise InputError(
            f"recipe {recipe.name!r} was taught with other weights: "
            f"{_files(taught.sha256)}; found {_files(here.sha256)}"
        )


def unknown_hashes(identity: ExtractorIdentity) -> list[str]:
    """Return a remark for each weights file whose sha256 is not that of a published file."""
    return [
        f"{name}: unknown sha256 {digest}; it is not one of the published files on record"
        for name, digest in sorted(identity.sha256.items())
        if identity.preset == "paper" and digest not in KNOWN_HASHES
    ]


def _files(sha256: dict[str, str]) -> str:
    return ", ".join(f"{name} (sha256 {digest[:12]}…)" for name, digest in sorted(sha256.items())) or "none"

"""The published extractor weights: address, size and sha256 of each, and messages for missing files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cmfm_worker.cfm.image.architecture import depth, hub_id
from cmfm_worker.cfm.image.features import load_image_encoder
from cmfm_worker.cfm.image.models import DINO, SHORT_NAMES, timm_name
from cmfm_worker.cfm.points.features import load_point_encoder
from cmfm_worker.cfm.weights import KNOWN_HASHES, KNOWN_SIZES, POINT_MAE, WeightsError, find_weights, kind_of
from cmfm_worker.errors import InputError

ALL_BLOCKS: Final = 12


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A published weights file; `name` is its name in the weights folder.

    `size_bytes` is None and `sha256` is "" if not on record.
    """

    title: str
    url: str
    name: str
    size_bytes: int | None
    sha256: str


def _published(kind: str, title: str, url: str, name: str) -> PublishedFile:
    sha256 = next((digest for digest, of in KNOWN_HASHES.items() if of == kind), "")
    return PublishedFile(title, url, name, KNOWN_SIZES.get(kind), sha256)


_META: Final = "https://dl.fbaipublicfiles.com"
_HUB: Final = "https://huggingface.co/{}/resolve/main/model.safetensors"

PUBLISHED: Final[Mapping[str, PublishedFile]] = {
    "dino": _published(
        "dino",
        "DINO ViT-B/8 (2D)",
        f"{_META}/dino/dino_vitbase8_pretrain/dino_vitbase8_pretrain.pth",
        "dino_vitbase8_pretrain.pth",
    ),
    "pointmae": _published(
        "pointmae",
        "Point-MAE (3D)",
        "https://github.com/Pang-Yatian/Point-MAE/releases/download/main/pretrain.pth",
        "pointmae_pretrain.pth",
    ),
    "dinov2": _published(
        "dinov2",
        "DINO-v2 ViT-B/14 (2D, --image-extractor dinov2)",
        f"{_META}/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
        "dinov2_vitb14_pretrain.pth",
    ),
    "sam": _published(
        "sam",
        "SAM ViT-B/16 (2D, --image-extractor sam)",
        f"{_META}/segment_anything/sam_vit_b_01ec64.pth",
        "sam_vit_b_01ec64.pth",
    ),
    "clip": _published(
        "clip",
        "CLIP ViT-B/16 (2D, --image-extractor clip), OpenAI's weights as timm publishes them",
        _HUB.format("timm/vit_base_patch16_clip_224.openai"),
        f"{SHORT_NAMES['clip']}.safetensors",
    ),
}
"""Point-MAE and the 2D extractors of the paper's Table 10."""

BY_DEFAULT: Final = ("dino", POINT_MAE)
"""The weights that `paper` uses by default."""


def published_file(kind: str) -> PublishedFile | None:
    """Return where a kind is published; None for a timm model for which timm names no file.

    Raises InputError for a name that is not an extractor's.
    """
    try:
        kind = kind_of(kind)
        if kind in PUBLISHED:
            return PUBLISHED[kind]
        model = timm_name(kind)
        hub = hub_id(model)
    except ValueError as error:
        raise InputError(str(error)) from error
    return _published(kind, f"{model} (2D)", _HUB.format(hub), f"{model}.safetensors") if hub else None


def require_weights(folder: Path, image: str = DINO) -> None:
    """Raise InputError unless `folder` holds the weights of the 2D extractor and of Point-MAE.

    The message says which file is missing, where it is published and how to download it.
    """
    for kind in (image, POINT_MAE):
        published = published_file(kind)
        try:
            find_weights(folder, kind)
        except WeightsError as error:
            if published is None:
                raise InputError(f"{error}; timm does not say where it is published") from error
            raise InputError(
                f"{error}; published at {published.url}: `cmfm-worker weights fetch --weights {folder} --which "
                f"{kind_of(kind)}` fetches it, or put it there as {published.name}"
            ) from error


def require_architecture(path: Path, kind: str) -> None:
    """Raise WeightsError naming file and key unless the file holds the complete encoder of its kind."""
    if kind == POINT_MAE:
        load_point_encoder(path, ALL_BLOCKS)
    else:
        model = timm_name(kind)
        load_image_encoder(path, depth(model), model=model)

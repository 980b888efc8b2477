"""Weights files: finding, reading, hashing, checking and converting them, without running code from them.

Users bring the published files of the 2D extractors and of Point-MAE; nothing here downloads. A *kind* is "pointmae" or
an image extractor, by its short name or timm's (`image/models.py`).
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from cmfm_worker.cfm.image.models import short_name, timm_name

POINT_MAE = "pointmae"

_PUBLISHED_NAMES: Mapping[str, tuple[str, ...]] = {
    "dino": ("dino_vitbase8_pretrain.safetensors", "dino_vitbase8_pretrain.pth"),
    "dinov2": ("dinov2_vitb14_pretrain.safetensors", "dinov2_vitb14_pretrain.pth"),
    "sam": ("sam_vit_b_01ec64.safetensors", "sam_vit_b_01ec64.pth"),
    "pointmae": (
        "pointmae_pretrain.safetensors",
        "pointmae_pretrain.pth",
        "pretrain.safetensors",
        "pretrain.pth",
    ),
}
_SUFFIXES = (".safetensors", ".pth", ".bin", ".pt")

KNOWN_HASHES: Mapping[str, str] = {
    "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73": "dinov2",
    "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912": "sam",
    "27ded932bb0a2625d5a8eb006df199b2578598c774aee6d86b985300b6a5fd20": "pointmae",
}
"""sha256 of published files, as far as one is on record. An unknown hash is reported and not refused."""

KNOWN_SIZES: Mapping[str, int] = {
    "dino": 343_279_349,
    "dinov2": 346_378_731,
    "sam": 375_042_383,
    "pointmae": 348_288_755,
}
"""Bytes of the published files."""

_SHOWN_KEYS = 3
_WRAPPERS = ("base_model", "model", "state_dict")


class WeightsError(Exception):
    """A weights file is missing, torn, not a state dict, or of another architecture. The message names file and key."""


def kind_of(name: str) -> str:
    """Return the usual name of a kind: "pointmae", a short name, or timm's. Raises ValueError as `timm_name` does."""
    return name if name == POINT_MAE else short_name(name)


def file_names(kind: str) -> tuple[str, ...]:
    """Return the file names of a kind in the order in which they are tried: the published names, then timm's."""
    kind = kind_of(kind)
    timms = () if kind == POINT_MAE else tuple(timm_name(kind) + suffix for suffix in _SUFFIXES)
    return _PUBLISHED_NAMES.get(kind, ()) + timms


def find_weights(folder: Path, kind: str) -> Path:
    """Return the weights file of one extractor in `folder`.

    Raises `WeightsError` naming the folder and the names that were tried.
    """
    names = file_names(kind)
    for name in names:
        if (folder / name).is_file():
            return folder / name
    where = f"no {kind_of(kind)} weights in {folder}" if folder.is_dir() else f"{folder} is not a folder"
    raise WeightsError(f"{where}: expected one of {', '.join(names)}")


def sha256_file(path: Path) -> str:
    """Return the hex sha256 of a file's bytes. Raises `WeightsError` if it cannot be read."""
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise WeightsError(f"{path}: not a file")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error


def is_known(sha256: str, kind: str) -> bool:
    """Return True if a hash is that of a published file of this kind."""
    return KNOWN_HASHES.get(sha256.lower()) == kind_of(kind)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a `.safetensors` file or a torch file, without running code from it.

    A torch file may be a flat state dict, or have it under `base_model` (Point-MAE's training checkpoint), `model` or
    `state_dict`. A TorchScript archive, as OpenAI publishes CLIP, holds code and is refused. Raises `WeightsError`.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _flat_state_dict(path, _read_torch(path))


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: not a whole safetensors file ({error})") from error


def _read_torch(path: Path) -> object:
    if _is_torchscript(path):
        raise WeightsError(
            f"{path}: a TorchScript archive, which holds code that is not run; take the same weights as a state dict "
            "(`cmfm-worker weights list` says where CLIP is published in this form)"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except Exception as error:  # with foreign bytes the unpickler can raise anything
        first_line = str(error).strip().partition("\n")[0]
        raise WeightsError(f"{path}: not a whole torch weights file ({first_line})") from error


def _is_zip(path: Path) -> bool:
    """Return True for torch files since 1.6: zip archives, which can be mapped into memory, unlike older ones."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _is_torchscript(path: Path) -> bool:
    """Return True if an archive has the member by which torch recognises TorchScript; False for a torn archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def _flat_state_dict(path: Path, loaded: object) -> dict[str, Tensor]:
    state = loaded
    if isinstance(loaded, dict):
        state = next((loaded[key] for key in _WRAPPERS if key in loaded), loaded)
    if not isinstance(state, dict) or not state or not all(isinstance(k, str) for k in state):
        raise WeightsError(f"{path}: expected a state dict of named tensors, found {type(loaded).__name__}")
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise WeightsError(f"{path}: expected a tensor under '{key}', found {type(value).__name__}")
    return state


def require_shapes(path: Path, state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise `WeightsError` (file, key, both shapes) unless every expected floating-point tensor is there."""
    missing = [key for key in expected if key not in state]
    if missing:
        shown = ", ".join(missing[:_SHOWN_KEYS]) + (", …" if len(missing) > _SHOWN_KEYS else "")
        found = ", ".join(sorted(state)[:_SHOWN_KEYS])
        raise WeightsError(
            f"{path}: {len(missing)} of {len(expected)} keys are missing ({shown}): "
            f"another architecture? It holds {len(state)} keys ({found}, …)"
        )
    for key, shape in expected.items():
        if tuple(state[key].shape) != shape:
            raise WeightsError(f"{path}: '{key}' must have shape {shape}, found {tuple(state[key].shape)}")
        if not state[key].is_floating_point():
            raise WeightsError(f"{path}: '{key}' must hold floating-point numbers, found {state[key].dtype}")


def convert_to_safetensors(src: Path, dst: Path) -> None:
    """Write a weights file's tensors as safetensors, with the same keys. `dst` appears whole or not at all.

    The new file records name and sha256 of `src`, so that `weights_identity` is the same for both, and a recipe
    taught on one can be used with the other. Raises `WeightsError` if `src` cannot be read.
    """
    state = {key: value.contiguous().clone() for key, value in read_state_dict(src).items()}
    partial = dst.with_name(dst.name + ".part")
    save_file(state, partial)
    origin = {"source": src.name, "source_sha256": sha256_file(src), "data_sha256": _data_sha256(partial)}
    save_file(state, partial, metadata=origin)
    partial.replace(dst)


def weights_identity(path: Path) -> tuple[str, str]:
    """Return (name, sha256) of a weights file, or of the file that `convert_to_safetensors` made it from.

    Raises `WeightsError` if it cannot be read, or if its tensors are no longer those that were converted.
    """
    if path.suffix == ".safetensors":
        origin = _origin(path)
        if origin:
            if _data_sha256(path) != origin["data_sha256"]:
                raise WeightsError(f"{path}: damaged, its tensors are not those of {origin['source']}")
            return origin["source"], origin["source_sha256"]
    return path.name, sha256_file(path)


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a `.safetensors` file. Raises `WeightsError`."""
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: not a whole safetensors file ({error})") from error


def _origin(path: Path) -> dict[str, str]:
    metadata = read_metadata(path)
    return metadata if {"source", "source_sha256", "data_sha256"} <= metadata.keys() else {}


def _data_sha256(path: Path) -> str:
    """Return the sha256 of everything after a safetensors file's header (8 bytes of length, then JSON)."""
    with path.open("rb") as file:
        file.seek(int.from_bytes(file.read(8), "little"), os.SEEK_CUR)
        return hashlib.file_digest(file, "sha256").hexdigest()

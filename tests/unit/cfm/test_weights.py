"""Weights files: which are found, which are refused and with which message, and what a conversion keeps."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import pytest
import torch

from cmfm_worker.cfm.weights import (
    KNOWN_HASHES,
    WeightsError,
    convert_to_safetensors,
    find_weights,
    is_known,
    read_state_dict,
    require_shapes,
    sha256_file,
    weights_identity,
)

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}


class RunsOnLoad:
    """A pickle that makes a folder if it is unpickled carelessly."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("kind", ["dino", "pointmae"])
def test_missing_weights_name_folder_and_expected_files(kind: str, tmp_path: Path) -> None:
    """A folder without the file is refused with the names that were expected."""
    with pytest.raises(WeightsError, match=r"pretrain\.pth") as raised:
        find_weights(tmp_path, kind)
    assert str(tmp_path) in str(raised.value)


def test_folder_that_does_not_exist_has_its_own_message(tmp_path: Path) -> None:
    """A folder that does not exist has another message than an empty one."""
    with pytest.raises(WeightsError, match="not a folder"):
        find_weights(tmp_path / "typo", "dino")


@pytest.mark.parametrize("name", ["pointmae_pretrain.pth", "pretrain.pth", "pointmae_pretrain.safetensors"])
def test_point_mae_is_found_under_each_of_its_names(name: str, tmp_path: Path) -> None:
    """The published name and the clearer one both work."""
    (tmp_path / name).touch()
    assert find_weights(tmp_path, "pointmae") == tmp_path / name


def test_flat_and_nested_files_read_the_same(tmp_path: Path) -> None:
    """A flat state dict, a training checkpoint with `base_model`, the old container and safetensors agree."""
    torch.save(STATE, tmp_path / "flat.pth")
    torch.save({"base_model": STATE, "epoch": 300, "optimizer": {}}, tmp_path / "nested.pth")
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    convert_to_safetensors(tmp_path / "flat.pth", tmp_path / "flat.safetensors")
    for name in ("flat.pth", "nested.pth", "old.pth", "flat.safetensors"):
        found = read_state_dict(tmp_path / name)
        assert found.keys() == STATE.keys()
        assert all(torch.equal(found[key], STATE[key]) for key in STATE), name


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.99])
def test_torn_file_is_a_weights_error_naming_it(suffix: str, kept: float, tmp_path: Path) -> None:
    """A download that broke off anywhere is refused with the file's name."""
    whole, torn = tmp_path / f"whole{suffix}", tmp_path / f"torn{suffix}"
    torch.save(STATE, tmp_path / "whole.pth")
    convert_to_safetensors(tmp_path / "whole.pth", tmp_path / "whole.safetensors")
    data = whole.read_bytes()
    torn.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(WeightsError, match=f"torn{suffix}"):
        read_state_dict(torn)


def test_torn_old_container_is_a_weights_error(tmp_path: Path) -> None:
    """A torn container of before torch 1.6 is refused, wherever it is torn."""
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    data = (tmp_path / "old.pth").read_bytes()
    for length in range(0, len(data) - 1, 7):
        (tmp_path / "torn.pth").write_bytes(data[:length])
        with pytest.raises(WeightsError, match="torn"):
            read_state_dict(tmp_path / "torn.pth")


@pytest.mark.parametrize(
    "content",
    [[1, 2], {}, {1: torch.ones(2)}, {"a": 3}, torch.ones(3), {"base_model": [1]}, {"student": {"a": 1}}],
)
def test_pickle_without_named_tensors_is_refused(content: object, tmp_path: Path) -> None:
    """A torch file without named tensors is refused with the file's name."""
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth: expected a (state dict|tensor)"):
        read_state_dict(tmp_path / "other.pth")


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04", b"\x80\x02" * 9, b"GIF89a" * 40])
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    """Any other file under the right name is refused."""
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(WeightsError, match=r"w\.pth"):
        read_state_dict(tmp_path / "w.pth")


def test_reading_never_runs_code_from_the_file(tmp_path: Path) -> None:
    """A pickle with instructions is refused before they run, in both containers."""
    made = tmp_path / "made"
    torch.save({"a": RunsOnLoad(made)}, tmp_path / "new.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"a": RunsOnLoad(made)}, protocol=2))
    for name in ("new.pth", "plain.pth"):
        with pytest.raises(WeightsError, match=name):
            read_state_dict(tmp_path / name)
    assert not made.exists()


def test_wrong_shape_names_file_key_and_both_shapes() -> None:
    """A tensor of another size is refused with the expected and the found shape."""
    with pytest.raises(WeightsError, match=r"w\.pth: 'a\.weight' must have shape \(2, 4\), found \(2, 3\)"):
        require_shapes(Path("w.pth"), STATE, {"a.weight": (2, 4)})


def test_another_architecture_names_a_missing_key() -> None:
    """Missing keys are counted and some are named, beside keys that the file has."""
    with pytest.raises(WeightsError, match=r"1 of 2 keys are missing \(b\.weight\).*a\.bias"):
        require_shapes(Path("w.pth"), STATE, {"a.bias": (2,), "b.weight": (1,)})


def test_integer_tensors_are_refused() -> None:
    """Tensors of integers are refused even with the right shapes."""
    with pytest.raises(WeightsError, match=r"floating-point.*int64"):
        require_shapes(Path("w.pth"), {"a": torch.ones(2, dtype=torch.long)}, {"a": (2,)})


def test_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    """The recorded hash is what sha256sum prints."""
    (tmp_path / "w.pth").write_bytes(b"weights")
    assert sha256_file(tmp_path / "w.pth") == hashlib.sha256(b"weights").hexdigest()
    with pytest.raises(WeightsError, match=r"none\.pth"):
        sha256_file(tmp_path / "none.pth")


def test_known_hashes_belong_to_their_kind() -> None:
    """Point-MAE's published hash is known as Point-MAE's only, in either case."""
    published = next(digest for digest, kind in KNOWN_HASHES.items() if kind == "pointmae")
    assert is_known(published, "pointmae")
    assert is_known(published.upper(), "pointmae")
    assert not is_known(published, "dino")
    assert not is_known("0" * 64, "pointmae")


def test_conversion_keeps_the_identity(tmp_path: Path) -> None:
    """A recipe taught on the published file works with the converted one: same name, same hash."""
    src, dst = tmp_path / "pretrain.pth", tmp_path / "pretrain.safetensors"
    torch.save({"base_model": STATE}, src)
    convert_to_safetensors(src, dst)
    assert weights_identity(dst) == weights_identity(src) == ("pretrain.pth", sha256_file(src))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pretrain.pth", "pretrain.safetensors"]


def test_damaged_conversion_does_not_keep_the_identity(tmp_path: Path) -> None:
    """A converted file with changed numbers is refused."""
    src, dst = tmp_path / "pretrain.pth", tmp_path / "pretrain.safetensors"
    torch.save(STATE, src)
    convert_to_safetensors(src, dst)
    data = bytearray(dst.read_bytes())
    data[-1] ^= 1
    dst.write_bytes(data)
    with pytest.raises(WeightsError, match=r"pretrain\.safetensors: damaged"):
        weights_identity(dst)


def test_foreign_safetensors_has_its_own_identity(tmp_path: Path) -> None:
    """A safetensors file of another origin has its own name and hash; a torn one is refused."""
    from safetensors.torch import save_file

    path = tmp_path / "mine.safetensors"
    save_file(STATE, path)
    assert weights_identity(path) == ("mine.safetensors", sha256_file(path))
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(WeightsError, match=r"mine\.safetensors"):
        weights_identity(path)

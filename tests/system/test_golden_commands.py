"""The golden vectors through the commands a user types: `import` and `inspect`, files in and files out."""

from __future__ import annotations

import subprocess
import sysconfig
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.parity.checkpoints import seeded_weights_dir
from tests.parity.golden import NAMES, GoldenFrame, load_golden, relative_l2
from tests.unit.made.dataset import read_json, run

pytestmark = pytest.mark.system

TOLERANCE = 1e-3

Import = Callable[[GoldenFrame], Path]


@pytest.fixture(scope="module")
def weights(shared: Path) -> Path:
    """Seeded weights in the published formats."""
    return seeded_weights_dir(shared)


@pytest.fixture(scope="module")
def imported(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Import:
    """Makes a recipe of a golden frame's networks with `cmfm-worker import`, once for each variant."""
    folder = tmp_path_factory.mktemp("recipes")

    @lru_cache
    def make(there: Path, back: Path, blocks: int, group_size: int) -> Path:
        out = folder / f"l{blocks}-g{group_size}"
        pair = ["--mapping-2d3d", there, "--mapping-3d2d", back, "--background", "none"]
        variant = ["--weights", weights, "--blocks", blocks, "--group-size", group_size]
        assert run("import", *pair, *variant, "--out", out) == 0
        return out

    return lambda of: make(of.mapping_2d3d, of.mapping_3d2d, of.blocks, of.group_size)


def as_files(vector: GoldenFrame, folder: Path) -> tuple[Path, Path]:
    """The frame as the PNG and the TIFF a user would have."""
    rgb, xyz = folder / "part.png", folder / "part.tiff"
    Image.fromarray(vector.rgb.numpy()).save(rgb)
    tifffile.imwrite(xyz, vector.xyz.numpy(), photometric="rgb")
    return rgb, xyz


def errors_of(vector: GoldenFrame, out: Path) -> dict[str, float]:
    """How far the written maps and score are from the vector, relative L2."""
    found = {name: np.load(out / f"{name}.npy") for name in ("psi", "psi_2d", "psi_3d")}
    errors = {name: relative_l2(values, vector.expected[name]) for name, values in found.items()}
    score = read_json(out / "result.json")["score"]
    return errors | {"score": relative_l2(score, vector.expected["score"])}


@pytest.mark.parametrize("name", NAMES)
def test_golden_vector(name: str, shared: Path, weights: Path, imported: Import, tmp_path: Path) -> None:
    """`inspect` writes maps and score of the golden vector to 1e-3, for a frame without background."""
    vector = load_golden(name, shared, weights)
    rgb, xyz = as_files(vector, tmp_path)
    recipe, out = imported(vector), tmp_path / "out"
    part = ["--recipe", recipe, "--rgb", rgb, "--xyz", xyz, "--weights", weights]
    assert run("inspect", *part, "--out", out, "--device", "cpu") == 0
    errors = errors_of(vector, out)
    assert max(errors.values()) <= TOLERANCE, errors
    foreground = np.load(out / "foreground.npy")
    assert (foreground == (vector.xyz != 0).any(-1).numpy()).all()


def test_installed_command_with_the_default_background(
    shared: Path, weights: Path, imported: Import, tmp_path: Path
) -> None:
    """The command as installed, looking for a tray that is off already, finds none to remove: the same vector."""
    vector = load_golden("dev_l1_g128_104_both", shared, weights)
    rgb, xyz = as_files(vector, tmp_path)
    command = Path(sysconfig.get_path("scripts")) / "cmfm-worker"
    part: list[object] = ["--recipe", imported(vector), "--rgb", rgb, "--xyz", xyz, "--weights", weights]
    more = ["--out", tmp_path / "out", "--device", "cpu", "--background", "ransac"]
    subprocess.run([str(argument) for argument in [command, "inspect", *part, *more]], check=True)
    errors = errors_of(vector, tmp_path / "out")
    assert max(errors.values()) <= TOLERANCE, errors


def test_weights_of_another_run_are_refused(
    shared: Path,
    weights: Path,
    imported: Import,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A recipe does not run on other weights than it was made with: exit code 2, both hashes named."""
    vector = load_golden("dev_l1_g128_104_both", shared, weights)
    other = tmp_path / "weights"
    other.mkdir()
    (other / "dino_vitbase8_pretrain.pth").symlink_to(weights / "dino_vitbase8_pretrain.pth")
    content = bytearray((weights / "pointmae_pretrain.pth").read_bytes())
    at = content.rindex(b"PK\x01\x02") + 4  # a byte of the archive's directory that no reader looks at
    content[at] ^= 1
    (other / "pointmae_pretrain.pth").write_bytes(content)
    rgb, xyz = as_files(vector, tmp_path)
    part = ["--recipe", imported(vector), "--rgb", rgb, "--xyz", xyz, "--weights", other]
    assert run("inspect", *part, "--out", tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert "other weights" in message
    assert "pointmae_pretrain.pth (sha256" in message
    assert not (tmp_path / "out" / "result.json").exists()

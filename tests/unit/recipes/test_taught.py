"""Taught recipes that wait to be used: the line does not see them, and putting one in use can be undone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.made.recipes import draft, pair, saved
from tests.unit.made.small_disk import fill, small_disk

from cmfm_protocol.files.outputs import OutputError
from cmfm_records.recipe_versions import read_versions
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.folder import save_recipe
from cmfm_worker.recipes.recipe_path import recipe_names
from cmfm_worker.recipes.taught import LEAST_FREE_MIB, put_in_use, taught_folder, teaching
from cmfm_worker.recipes.versions import restore


def test_taught_recipe_is_put_in_use_and_undone(tmp_path: Path) -> None:
    """Its files are copied; the recipe before is a version that can be restored; the taught one stays where it is."""
    saved(tmp_path / "cap")
    before = (tmp_path / "cap" / "recipe.toml").read_bytes()
    with teaching(tmp_path, "cap") as target:
        saved(target, name="cap", threshold=None)
    assert recipe_names(tmp_path) == ["cap"]
    assert (tmp_path / "cap" / "recipe.toml").read_bytes() == before
    assert put_in_use(tmp_path, "cap", "ann", "30 parts") == 2
    assert (tmp_path / "cap" / "recipe.toml").read_bytes() == (target / "recipe.toml").read_bytes() != before
    assert [(version.by, version.why) for version in read_versions(tmp_path / "cap")][1:] == [
        ("ann", "30 parts")
    ]
    restore(tmp_path / "cap", 1, "ann", "")
    assert (tmp_path / "cap" / "recipe.toml").read_bytes() == before


def test_recipe_that_nobody_taught_is_refused(tmp_path: Path) -> None:
    """Neither a missing one, nor one whose networks are damaged, nor a name that leads elsewhere."""
    with pytest.raises(InputError, match="has not been taught"):
        put_in_use(tmp_path, "cap", "ann", "")
    with teaching(tmp_path, "cap") as target:
        saved(target, name="cap")
    networks = target / "mapping.safetensors"
    networks.write_bytes(networks.read_bytes() + b"x")
    with pytest.raises(InputError, match="is not the mapping"):
        put_in_use(tmp_path, "cap", "ann", "")
    assert not (tmp_path / "cap").exists()
    with pytest.raises(InputError, match="a name has"):
        taught_folder(tmp_path, "../cap")


def test_one_teaching_at_a_time(tmp_path: Path) -> None:
    """The second is refused, another recipe's is not, and the next may begin when the first has ended."""
    with teaching(tmp_path, "cap"):
        with pytest.raises(InputError, match="being taught by another process"), teaching(tmp_path, "cap"):
            pass
        with teaching(tmp_path, "lid"):
            pass
        saved(taught_folder(tmp_path, "cap"), name="cap")
        with pytest.raises(InputError, match="being taught by another process"):
            put_in_use(tmp_path, "cap", "ann", "")
    with teaching(tmp_path, "cap"):
        pass


def test_what_a_killed_teaching_left_goes(tmp_path: Path) -> None:
    """Half-written files of this recipe are removed; those of another one, which may be under way, stay."""
    for name in (".cap.abcd1234", ".cap.x.abcd1234", "cap.abcd1234"):
        (tmp_path / ".taught" / name).mkdir(parents=True)
    with teaching(tmp_path, "cap"):
        left = {entry.name for entry in (tmp_path / ".taught").iterdir() if entry.is_dir()}
    assert left == {".cap.x.abcd1234", "cap.abcd1234"}


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Before any work is done."""
    (tmp_path / ".taught").write_text("")
    with pytest.raises(InputError, match=r"\.taught: cannot be written"), teaching(tmp_path, "cap"):
        pass


def test_a_full_disk_leaves_every_recipe_as_it_was(tmp_path: Path) -> None:
    """Full before teaching: refused. Full while it is written or put in use: a sentence, and nothing changes."""
    with small_disk(tmp_path, LEAST_FREE_MIB + 8):
        saved(tmp_path / "cap")
        with teaching(tmp_path, "cap") as target:
            saved(target, name="cap", threshold=None)
        taught, used = tree(target), tree(tmp_path / "cap")
        filler = fill(tmp_path)
        for spare in (0, 4096):
            filler.unlink()
            with teaching(tmp_path, "cap"):
                filler = fill(tmp_path, leave_bytes=spare)
                with pytest.raises((InputError, OutputError), match="No space left on device"):
                    save_recipe(target, draft(name="cap"), pair(1), replace=True)
            with pytest.raises(InputError, match=r"cannot be written \(No space left on device"):
                put_in_use(tmp_path, "cap", "ann", "")
            with pytest.raises(InputError, match="its disk has 0 MiB free"), teaching(tmp_path, "cap"):
                pass
            assert (tree(target), tree(tmp_path / "cap")) == (taught, used)
        filler.unlink()
        assert put_in_use(tmp_path, "cap", "ann", "") >= 1


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

"""Versions of a recipe: each change is kept with who and why, and any of them can be put back."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.unit.made.recipes import draft, pair, saved

from cmfm_records.recipe_versions import read_versions
from cmfm_worker.errors import InputError
from cmfm_worker.recipes import versions as module
from cmfm_worker.recipes.folder import replace_recipe_file, save_recipe
from cmfm_worker.recipes.recipe import load_recipe, read_recipe_file
from cmfm_worker.recipes.sections import ThresholdSection
from cmfm_worker.recipes.versions import changing, find_version, record, restore, version_folder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def set_threshold(folder: Path, fail_at: float, by: str = "ann") -> None:
    """Change the threshold as a command does."""
    with changing(folder, by, f"to {fail_at}"):
        recipe = read_recipe_file(folder)
        changed = recipe.model_copy(update={"threshold": ThresholdSection(fail_at=fail_at)})
        replace_recipe_file(folder, sha256(folder / "recipe.toml"), changed)


def test_a_change_keeps_what_was_there_and_what_is_there_now(tmp_path: Path) -> None:
    """The recipe that was found becomes a version of its own; the new one is recorded with who and why."""
    part = tmp_path / "part"
    loaded = saved(part)
    before = (part / "recipe.toml").read_bytes()
    set_threshold(part, 0.7)
    first, second = read_versions(part)
    assert (first.version, first.by, first.fail_at) == (1, "", 0.5)
    assert (second.version, second.by, second.why, second.fail_at) == (2, "ann", "to 0.7", 0.7)
    assert first.recipe_sha == hashlib.sha256(before).hexdigest()
    assert second.recipe_sha == sha256(part / "recipe.toml")
    assert first.model_sha == second.model_sha == loaded.model_sha
    assert (version_folder(part, 1) / "recipe.toml").read_bytes() == before
    assert load_recipe(version_folder(part, 2)).recipe.threshold == ThresholdSection(fail_at=0.7)


def test_versions_with_the_same_networks_share_them_on_the_disk(tmp_path: Path) -> None:
    """A dragged threshold costs a few kilobytes, not the networks again; recipe.toml, edited in place, is a copy."""
    part = tmp_path / "part"
    saved(part)
    set_threshold(part, 0.7)
    files = [part, version_folder(part, 1), version_folder(part, 2)]
    assert len({(folder / "mapping.safetensors").stat().st_ino for folder in files}) == 1
    assert len({(folder / "recipe.toml").stat().st_ino for folder in files}) == 3


def test_restoring_puts_back_every_byte(tmp_path: Path) -> None:
    """One step undoes a threshold, and a teaching with other networks; the undoing is a version too."""
    part = tmp_path / "part"

    def report(folder: Path) -> None:
        (folder / "report.html").write_text("old")

    save_recipe(part, draft(), pair(), report=report)
    first = {path.name: path.read_bytes() for path in part.rglob("*") if path.is_file()}
    set_threshold(part, 0.7)
    assert not (part / "report").exists()
    assert restore(part, 1, "bob", "too many escapes") == 3
    assert {path.name: path.read_bytes() for path in part.rglob("*") if path.is_file()} == first
    with changing(part, "eve", "taught again"):
        save_recipe(part, draft(), pair(1), replace=True)
    assert restore(part, 3, "bob", "") == 5
    assert {path.name: path.read_bytes() for path in part.rglob("*") if path.is_file()} == first
    assert [(v.by, v.why) for v in read_versions(part)][2:] == [
        ("bob", "version 1 restored: too many escapes"),
        ("eve", "taught again"),
        ("bob", "version 3 restored"),
    ]
    load_recipe(part)


def test_a_deleted_recipe_can_be_restored(tmp_path: Path) -> None:
    """Versions outlive the folder of the recipe in use; the same bytes are the same version."""
    part = tmp_path / "part"
    saved(part)
    record(part, "ann", "first")
    for path in part.iterdir():
        path.unlink()
    part.rmdir()
    assert restore(part, 1, "bob", "") == 1
    load_recipe(part)


@pytest.mark.parametrize("number", [0, 7, -1])
def test_a_version_that_there_is_not_is_refused(tmp_path: Path, number: int) -> None:
    """The message names the versions that there are."""
    saved(tmp_path / "part")
    record(tmp_path / "part", "ann", "")
    with pytest.raises(InputError, match=f"no version {number}; there are 1 to 1"):
        restore(tmp_path / "part", number, "bob", "")
    with pytest.raises(InputError, match="in use already"):
        restore(tmp_path / "part", 1, "bob", "")


def test_a_version_whose_files_were_changed_is_not_restored(tmp_path: Path) -> None:
    """A version is put back as it was recorded, or not at all."""
    part = tmp_path / "part"
    saved(part)
    set_threshold(part, 0.7)
    now = (part / "recipe.toml").read_bytes()
    kept = version_folder(part, 1)
    text = (kept / "recipe.toml").read_text()
    (kept / "recipe.toml").write_text(text.replace("0.5", "0.6"))
    with pytest.raises(InputError, match="has changed since version 1 was recorded"):
        restore(part, 1, "bob", "")
    (kept / "recipe.toml").write_text(text)
    (kept / "mapping.safetensors").unlink()
    (kept / "mapping.safetensors").write_bytes(b"other networks")
    with pytest.raises(InputError, match="is not the mapping"):
        restore(part, 1, "bob", "")
    assert (part / "recipe.toml").read_bytes() == now
    assert [version.version for version in read_versions(part)] == [1, 2]


def test_a_change_that_fails_is_no_version(tmp_path: Path) -> None:
    """The versions that were there stay, and they alone are listed."""
    part = tmp_path / "part"
    saved(part)
    with pytest.raises(InputError, match="full"), changing(part, "ann", "try"):
        raise InputError("the disk is full")
    assert [version.fail_at for version in read_versions(part)] == [0.5]


def test_a_recipe_edited_by_hand_is_kept_before_the_next_change(tmp_path: Path) -> None:
    """Somebody edits recipe.toml between two changes: neither his work nor the version before it is lost."""
    part = tmp_path / "part"
    saved(part)
    set_threshold(part, 0.7)
    path = part / "recipe.toml"
    path.write_text(path.read_text().replace("fail_at = 0.7", "fail_at = 0.8"))
    set_threshold(part, 0.9)
    assert [(version.fail_at, version.by) for version in read_versions(part)] == [
        (0.5, ""),
        (0.7, "ann"),
        (0.8, ""),
        (0.9, "ann"),
    ]
    assert read_recipe_file(version_folder(part, 2)).threshold == ThresholdSection(fail_at=0.7)


def test_a_torn_line_is_no_version_and_spoils_none(tmp_path: Path) -> None:
    """A writer that was killed leaves half a line: the versions before and after it are listed."""
    part = tmp_path / "part"
    saved(part)
    set_threshold(part, 0.7)
    path = tmp_path / ".versions" / "part" / "versions.jsonl"
    lines = path.read_bytes()
    path.write_bytes(lines[:-20])
    assert [version.version for version in read_versions(part)] == [1]
    set_threshold(part, 0.8)
    assert [version.version for version in read_versions(part)] == [1, 3, 4]
    path.write_bytes(path.read_bytes() + b'{"version": "x"}\n[]\nnull\n\xff\n')
    assert [version.version for version in read_versions(part)] == [1, 3, 4]


def test_old_files_are_given_up_and_the_list_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk does not fill with versions; a version without files is listed and refused with the reason."""
    monkeypatch.setattr(module, "KEPT", 3)
    part = tmp_path / "part"
    saved(part)
    for fail_at in (0.6, 0.7, 0.8, 0.9):
        set_threshold(part, fail_at)
    assert [(version.version, version.kept) for version in read_versions(part)] == [
        (1, False),
        (2, False),
        (3, True),
        (4, True),
        (5, True),
    ]
    with pytest.raises(InputError, match="no longer kept"):
        restore(part, 1, "bob", "")
    restore(part, 3, "bob", "")


def test_a_version_is_found_by_the_recipe_that_judged_a_part(tmp_path: Path) -> None:
    """A verdict names the sha256 of its recipe.toml, and with it the files that it was judged by."""
    part = tmp_path / "part"
    sha = saved(part).recipe_sha or sha256(part / "recipe.toml")
    set_threshold(part, 0.7)
    assert find_version(part, sha) == version_folder(part, 1)
    assert find_version(part, "0" * 64) is None
    assert find_version(tmp_path / "other", sha) is None


@pytest.mark.parametrize(
    ("by", "why"), [("a" * 101, ""), ("ann", "x" * 1001), ("ann", "two\nlines"), ("\x00", "")]
)
def test_a_text_that_cannot_be_listed_is_refused_before_anything_is_written(
    tmp_path: Path, by: str, why: str
) -> None:
    """The page passes on what somebody typed."""
    saved(tmp_path / "part")
    with pytest.raises(InputError, match="printable characters"), changing(tmp_path / "part", by, why):
        pytest.fail("the change was begun")
    assert read_versions(tmp_path / "part") == []


def test_a_disk_that_is_full_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe that cannot be kept is not replaced either."""
    part = tmp_path / "part"
    saved(part)
    before = (part / "recipe.toml").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        set_threshold(part, 0.7)
    assert (part / "recipe.toml").read_bytes() == before
    assert read_versions(part) == []
    assert not [path for path in (tmp_path / ".versions" / "part").iterdir() if path.is_dir()]


def test_two_who_change_a_recipe_at_once_make_two_versions(tmp_path: Path) -> None:
    """The page and a command in a shell: each change waits for the other, and both are listed."""
    part = tmp_path / "part"
    saved(part)
    with ThreadPoolExecutor(2) as writers:
        list(writers.map(set_threshold, [part] * 2, [0.6, 0.7], ["w0", "w1"]))
    assert sorted(version.by for version in read_versions(part)) == ["", "w0", "w1"]
    assert len((tmp_path / ".versions" / "part" / "versions.jsonl").read_text().splitlines()) == 3
    for line in (tmp_path / ".versions" / "part" / "versions.jsonl").read_text().splitlines():
        assert set(json.loads(line)) == {"version", "at", "by", "why", "recipe_sha", "model_sha", "fail_at"}

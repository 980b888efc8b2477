"""`cmfm-worker recipe export` and `import`: what arrives is what was sent, and what is not sound does not arrive."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.made.dataset import run
from tests.unit.made.recipes import draft, pair, saved

from cmfm_records.recipe_versions import read_versions
from cmfm_worker.recipes import import_bundle, import_recipe
from cmfm_worker.recipes.folder import save_recipe
from cmfm_worker.recipes.recipe import load_recipe


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A line's folder `recipes` with `bagel`, which has a report and three versions, and the exported `bagel.recipe`.

    No test changes it.
    """

    def report(folder: Path) -> None:
        (folder / "report.html").write_text("<p>report</p>")
        (folder / "report.json").write_text("{}")

    folder = tmp_path_factory.mktemp("exported")
    recipes = folder / "recipes"
    save_recipe(recipes / "bagel", draft(name="bagel"), pair(), report=report)
    assert run("recipe", "threshold", "bagel", "--recipes", recipes, "--fail-at", 0.7, "--by", "Ann") == 0
    assert run("recipe", "restore", "bagel", 1, "--recipes", recipes) == 0
    assert run("recipe", "export", "bagel", folder / "bagel.recipe", "--recipes", recipes) == 0
    return folder


@pytest.fixture
def sent(exported: Path, tmp_path: Path) -> Path:
    """A copy of the line's folder of recipes."""
    return Path(shutil.copytree(exported / "recipes", tmp_path / "sent"))


@pytest.fixture
def file(exported: Path, tmp_path: Path) -> Path:
    """A copy of the exported recipe."""
    return Path(shutil.copyfile(exported / "bagel.recipe", tmp_path / "bagel.recipe"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def bring(file: Path, recipes: Path, *more: object) -> int:
    return run("recipe", "import", file, "--recipes", recipes, *more)


def test_what_arrives_is_what_was_sent(
    sent: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Byte for byte, with the report; the verdicts of both lines name the same recipe and model."""
    capsys.readouterr()
    assert bring(file, tmp_path / "here", "--by", "Bob", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert contents(tmp_path / "here" / "bagel") == contents(sent / "bagel")
    assert "report/report.html" in contents(tmp_path / "here" / "bagel")
    assert said["recipe_sha"] == load_recipe(sent / "bagel").recipe_sha
    assert [row["by"] for row in said["history"]][1] == "Ann"
    (kept,) = read_versions(tmp_path / "here" / "bagel")
    assert kept.by == "Bob"
    assert kept.why.startswith("imported from bagel.recipe, exported 20")
    for path in (tmp_path / "here" / "bagel").rglob("*"):
        assert path.stat().st_mode & stat.S_IROTH  # the line often runs as another user


def test_the_file_holds_nothing_that_is_executed(file: Path) -> None:
    """A zip with plain files and a manifest that names the SHA-256 of each."""
    with zipfile.ZipFile(file) as bundle:
        names = bundle.namelist()
        manifest = json.loads(bundle.read("manifest.json"))
        assert set(names) == {"manifest.json", *manifest["files"]}
        assert set(manifest["files"]) == {
            "recipe.toml",
            "mapping.safetensors",
            "report/report.html",
            "report/report.json",
        }
        for name, facts in manifest["files"].items():
            assert hashlib.sha256(bundle.read(name)).hexdigest() == facts["sha256"]


def test_an_older_version_can_be_sent_under_another_name(sent: Path, tmp_path: Path) -> None:
    """`NAME@N` is exported; `--name` gives it another name, also in its recipe.toml."""
    path = tmp_path / "old.recipe"
    assert run("recipe", "export", "bagel@2", path, "--recipes", sent) == 0
    assert bring(path, sent, "--name", "bagel-strict") == 0
    loaded = load_recipe(sent / "bagel-strict")
    assert loaded.recipe.name == "bagel-strict"
    assert loaded.recipe.threshold is not None
    assert loaded.recipe.threshold.fail_at == 0.7
    assert loaded.model_sha == load_recipe(sent / "bagel").model_sha


def test_a_recipe_is_replaced_only_on_request_and_kept(file: Path, tmp_path: Path) -> None:
    """Without --force nothing changes; with it the old recipe is a version that can be restored."""
    here = tmp_path / "here"
    before = saved(here / "bagel", seed=3, name="bagel")
    assert bring(file, here) == 2
    assert load_recipe(here / "bagel").model_sha == before.model_sha
    assert bring(file, here, "--force") == 0
    assert load_recipe(here / "bagel").model_sha != before.model_sha
    assert run("recipe", "restore", "bagel", 1, "--recipes", here) == 0
    assert load_recipe(here / "bagel").model_sha == before.model_sha


def test_a_file_is_not_overwritten_unasked(
    sent: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor is half a file left behind where it cannot be written."""
    bytes_ = file.read_bytes()
    assert run("recipe", "export", "bagel", file, "--recipes", sent) == 2
    assert "--force" in capsys.readouterr().err
    assert file.read_bytes() == bytes_
    assert run("recipe", "export", "bagel", file, "--recipes", sent, "--force") == 0
    assert run("recipe", "export", "bagel", tmp_path / "no" / "x", "--recipes", sent) == 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_recipe_whose_networks_were_swapped_is_not_exported(
    sent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that no line would load is not made."""
    mapping = sent / "bagel" / "mapping.safetensors"
    mapping.unlink()
    mapping.write_bytes(b"other")
    assert run("recipe", "export", "bagel", tmp_path / "x", "--recipes", sent) == 2
    assert "is not the mapping" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


Change = Callable[[dict[str, bytes]], None]


def rewrite(file: Path, change: Change, **infos: Any) -> None:
    """Write the file again with changed entries; the manifest's hashes and sizes are made to fit, if it is JSON."""
    with zipfile.ZipFile(file) as bundle:
        entries = {name: bundle.read(name) for name in bundle.namelist()}
    change(entries)
    with zipfile.ZipFile(file, "w") as bundle:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            for key, value in infos.items():
                setattr(info, key, value)
            bundle.writestr(info, content)


def fit_manifest(entries: dict[str, bytes]) -> None:
    manifest = json.loads(entries["manifest.json"])
    manifest["files"] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in entries.items()
        if name != "manifest.json"
    }
    entries["manifest.json"] = json.dumps(manifest).encode()


def with_file(name: str, content: bytes = b"x") -> Change:
    def change(entries: dict[str, bytes]) -> None:
        entries[name] = content
        fit_manifest(entries)

    return change


def without(name: str) -> Change:
    def change(entries: dict[str, bytes]) -> None:
        del entries[name]

    return change


def with_fact(**facts: object) -> Change:
    def change(entries: dict[str, bytes]) -> None:
        entries["manifest.json"] = json.dumps(json.loads(entries["manifest.json"]) | facts).encode()

    return change


def with_text(old: str, new: str) -> Change:
    def change(entries: dict[str, bytes]) -> None:
        entries["recipe.toml"] = entries["recipe.toml"].replace(old.encode(), new.encode())
        fit_manifest(entries)

    return change


REFUSED: dict[str, tuple[Change, str]] = {
    "path upwards": (with_file("../evil"), "no file of a recipe"),
    "path upwards in the report": (with_file("report/../../evil.html"), "no file of a recipe"),
    "absolute path": (with_file("/etc/evil"), "no file of a recipe"),
    "backslashes": (with_file("report\\..\\evil.html"), "no file of a recipe"),
    "a program": (with_file("report/setup.py"), "no file of a recipe"),
    "a hidden file": (with_file("report/.htaccess.html"), "no file of a recipe"),
    "a pickle for networks": (
        with_file("mapping.safetensors", b"\x80\x04K\x01."),
        "not the recipe's mapping",
    ),
    "no networks": (without("mapping.safetensors"), "has no mapping.safetensors"),
    "no manifest": (without("manifest.json"), "has no manifest.json"),
    "file that the manifest does not name": (
        lambda entries: entries.update({"report/x.html": b"x"}),
        "names other files",
    ),
    "file that is missing": (without("report/report.html"), "names other files"),
    "other bytes than hashed": (
        lambda entries: entries.update({"report/report.html": b"<p>REPORT</p>"}),
        "report/report.html is damaged",
    ),
    "later format": (with_fact(format_version=2), "another format_version than 1"),
    "no format": (with_fact(format_version=None), "another format_version than 1"),
    "unknown fact": (with_fact(run="rm -rf /"), "run"),
    "name upwards": (with_fact(name="../bagel"), "name"),
    "manifest that is no JSON": (lambda entries: entries.update({"manifest.json": b"{"}), "manifest"),
    "manifest that nests deeply": (
        lambda entries: entries.update({"manifest.json": b"[" * 500_000}),
        "manifest",
    ),
    "settings that are wrong": (with_text("fail_at = 0.5", "fail_at = nan"), "threshold.fail_at"),
    "settings that are unknown": (with_text("\n[provenance]\n", "\n[evil]\nx = 1\n[provenance]\n"), "evil"),
    "settings that nest deeply": (
        with_text("[coverage]\n", "x = " + "[" * 100_000 + "\n[coverage]\n"),
        "as TOML",
    ),
    "a number of 5,000 digits": (with_text("fail_at = 0.5", "fail_at = " + "9" * 5000), "as TOML"),
    "networks of another recipe": (
        with_text('architecture = "mlp"', 'architecture = "conv"'),
        "architecture",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_sound_does_not_arrive(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """Exit code 2 and a sentence that names the file; no recipe, no version, nothing beside them."""
    change, message = REFUSED[what]
    rewrite(file, change)
    refused(file, tmp_path, capsys, message)


def refused(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], message: str) -> None:
    here = tmp_path / "here"
    here.mkdir()
    capsys.readouterr()
    assert bring(file, here) == 2
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert str(file) in said
    assert "Traceback" not in said
    assert not [path for path in here.rglob("*") if path.is_file() and path.name != "lock"]
    assert not (tmp_path / "evil").exists()


def test_links_are_refused(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An entry that is a symbolic link would be followed by whoever reads the recipe."""
    rewrite(file, lambda _: None, external_attr=(stat.S_IFLNK | 0o777) << 16)
    refused(file, tmp_path, capsys, "is a link")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: int
) -> None:
    """Fewer decoders read what strangers send."""
    rewrite(file, lambda _: None, compress_type=method)
    refused(file, tmp_path, capsys, "unknown way")


def test_an_encrypted_entry_is_refused(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its bit in the directory is enough."""
    bytes_ = bytearray(file.read_bytes())
    at = bytes_.index(b"PK\x01\x02")
    bytes_[at + 8] |= 1
    file.write_bytes(bytes_)
    refused(file, tmp_path, capsys, "encrypted")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two readers might take different ones."""
    with zipfile.ZipFile(file, "a") as bundle:
        bundle.writestr("recipe.toml", "format_version = 1\n")
    refused(file, tmp_path, capsys, "is twice")


def test_a_bomb_is_refused_before_it_unpacks(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the sizes that it states, each and together; nothing of it is read."""
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("something was unpacked"))
    bytes_ = bytearray(file.read_bytes())
    at = bytes_.index(b"mapping.safetensors", bytes_.index(b"PK\x01\x02")) - 46
    struct.pack_into("<L", bytes_, at + 24, 2_000_000_000)  # its size in the directory
    file.write_bytes(bytes_)
    refused(file, tmp_path, capsys, "would have 2000000000 bytes")
    struct.pack_into("<L", bytes_, at + 24, 512 << 20)
    file.write_bytes(bytes_)
    shutil.rmtree(tmp_path / "here")
    refused(file, tmp_path, capsys, "would unpack to 512 MiB")


def test_a_size_that_is_a_lie_unpacks_no_more_than_it_states(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An entry that states few bytes and would inflate to many is damaged."""
    with zipfile.ZipFile(file) as bundle:
        entries = {name: bundle.read(name) for name in bundle.namelist()}
    entries["report/report.html"] = b"x" * 10_000_000
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in entries.items():
            bundle.writestr(name, content)
    bytes_ = bytearray(file.read_bytes())
    at = bytes_.index(b"report/report.html", bytes_.index(b"PK\x01\x02")) - 46
    struct.pack_into("<L", bytes_, at + 24, len(b"<p>report</p>"))
    file.write_bytes(bytes_)
    refused(file, tmp_path, capsys, "damaged")


@pytest.mark.parametrize("cut", [0, 1, 30, 500, -1, -22, -200])
def test_half_a_file_is_refused(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], cut: int
) -> None:
    """A download that broke off."""
    file.write_bytes(file.read_bytes()[:cut])
    refused(file, tmp_path, capsys, "not an exported recipe")


def test_a_directory_without_end_is_not_read(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty thousand entries would cost the page's machine its memory; they are counted at the end of the file."""
    sound = file.read_bytes()
    bytes_ = bytearray(sound)
    struct.pack_into("<H", bytes_, len(bytes_) - 12, 60_000)
    file.write_bytes(bytes_)
    refused(file, tmp_path, capsys, "names 60000 files")
    shutil.rmtree(tmp_path / "here")
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("its directory was read"))
    file.write_bytes(sound[:-22] + b"PK\x06\x07" + bytes(16) + sound[-22:])  # the larger numbers of zip64
    refused(file, tmp_path, capsys, "not an exported recipe")


def test_an_upload_without_end_is_refused(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two gigabytes, sparse on the disk: the size alone is enough."""
    with file.open("ab") as grown:
        grown.truncate(2 << 30)
    refused(file, tmp_path, capsys, "has 2048 MiB")


def test_a_disk_without_room_is_said_before_it_is_filled(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line's ledger and archive are on that disk, too."""
    monkeypatch.setattr(import_bundle, "SPARE_BYTES", 1 << 60)
    refused(file, tmp_path, capsys, "the disk of")


def test_settings_that_take_for_ever_to_read_are_refused(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of fifty thousand parts keeps a TOML reader busy for minutes; the limit is one of processor time."""
    monkeypatch.setattr(import_recipe, "READ_LIMIT_S", 0.5)
    rewrite(file, with_text("[frame]\n", "[frame]\n" + "a." * 50_000 + "b = 1\n"))
    refused(file, tmp_path, capsys, "more than 0.5 s of processor time")
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", ".", "", "x@3"])
def test_a_name_that_is_none_is_refused(file: Path, tmp_path: Path, name: str) -> None:
    """The name comes from a form on the page."""
    (tmp_path / "here").mkdir()
    if name:
        assert bring(file, tmp_path / "here", "--name", name) == 2
        assert not list((tmp_path / "here").iterdir())


def test_an_import_that_fails_at_the_last_step_leaves_the_old_recipe(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the new folder cannot be put in place, the one that was there is."""
    here = tmp_path / "here"
    before = saved(here / "bagel", seed=3, name="bagel")
    rename = Path.rename

    def fails(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr("cmfm_worker.recipes.folder.exchange", lambda *_: False)  # as on an old file system
    monkeypatch.setattr(Path, "rename", fails)
    assert bring(file, here, "--force") == 2
    assert "Input/output error" in capsys.readouterr().err
    assert load_recipe(here / "bagel").model_sha == before.model_sha
    assert sorted(path.name for path in here.iterdir()) == [".versions", "bagel"]

"""Versions of a recipe: its bytes before and after each change, with who changed it and why.

    <recipes>/<name>/                        the recipe in use
    <recipes>/.versions/<name>/<n>/          the files of version n: recipe.toml, mapping.safetensors, report
    <recipes>/.versions/<name>/versions.jsonl        one line a version, appended

Files that nothing writes in place are hard links, so versions with the same networks share them on the disk. A version
whose line is torn, because its writer was killed, is not listed; its number is not used again. A running line reads
none of this.
"""

import fcntl
import getpass
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cmfm_records.copying import copy_folder
from cmfm_records.recipe_versions import VERSIONS_FILE, Version, read_versions, versions_home
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.file_hash import sha256_of
from cmfm_worker.recipes.folder import REPORT_FOLDER, put_recipe
from cmfm_worker.recipes.recipe import RECIPE_FILE, read_recipe_file
from cmfm_worker.recipes.sections import MAPPING_FILE

KEPT: Final = 100
"""The files of so many versions are kept, the newest; the list names all."""

MAX_BY_CHARS: Final = 100
MAX_WHY_CHARS: Final = 1000


def version_folder(folder: Path, number: int) -> Path:
    """Return the folder of a version's files. Raises InputError if there is no such version, or no files of it."""
    known = [version.version for version in read_versions(folder)]
    if number not in known:
        range_ = f"{known[0]} to {known[-1]}" if known else "no versions"
        raise InputError(f"{folder}: has no version {number}; there are {range_}")
    path = versions_home(folder) / str(number)
    if not path.is_dir():
        raise InputError(f"{folder}: the files of version {number} are no longer kept (newest {KEPT})")
    return path


def find_version(folder: Path, recipe_sha: str) -> Path | None:
    """Return the kept files of the version whose recipe.toml has this SHA-256, or None."""
    found = [
        version for version in read_versions(folder) if version.kept and version.recipe_sha == recipe_sha
    ]
    return versions_home(folder) / str(found[-1].version) if found else None


def record(folder: Path, by: str, why: str) -> int:
    """Keep the recipe in `folder` as a version and return its number; that of the newest one if it is the same.

    Raises InputError for a text that is too long, and if the files cannot be read or written.
    """
    with _locked(folder):
        return _record(folder, by, why)


@contextmanager
def changing(folder: Path, by: str, why: str) -> Iterator[None]:
    """Keep the recipe in `folder`, if there is one, before the body changes it, and the new one afterwards.

    Other changes of the recipe wait meanwhile. If the body raises, nothing new is recorded. Raises InputError as
    `record` does.
    """
    _require_texts(by, why)
    with _locked(folder):
        if (folder / RECIPE_FILE).is_file():
            _record(folder, "", "as it was found before the next change")
        yield
        _record(folder, by, why)


def restore(folder: Path, number: int, by: str, why: str) -> int:
    """Put the files of a version back, byte for byte, and record that as a new version, whose number is returned.

    Raises InputError if the version is in use already, is not kept, or its files are not those recorded.
    """
    source = version_folder(folder, number)
    with changing(folder, by, f"version {number} restored{f': {why}' if why else ''}"):
        wanted = next(version for version in read_versions(folder) if version.version == number)
        in_use = folder / RECIPE_FILE
        if in_use.is_file() and sha256_of(in_use) == wanted.recipe_sha:
            raise InputError(f"{folder}: version {number} is in use already")
        _require_sound(source, wanted)
        put_recipe(source, folder)
    return read_versions(folder)[-1].version


def require_sound(source: Path) -> None:
    """Raise InputError if recipe.toml in `source` is not valid, or the mapping beside it is not its own."""
    recipe = read_recipe_file(source)
    if sha256_of(source / MAPPING_FILE) != recipe.mapping.sha256:
        raise InputError(f"{source / MAPPING_FILE}: is not the mapping that {RECIPE_FILE} names")


def this_user() -> str:
    """Return the name of the user that runs the command, or its number if it has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without an entry
        return f"uid {os.getuid()}"


def _require_sound(source: Path, wanted: Version) -> None:
    if sha256_of(source / RECIPE_FILE) != wanted.recipe_sha:
        raise InputError(f"{source / RECIPE_FILE}: has changed since version {wanted.version} was recorded")
    require_sound(source)


def _require_texts(by: str, why: str) -> None:
    for name, text, most in (("by", by, MAX_BY_CHARS), ("why", why, MAX_WHY_CHARS)):
        if len(text) > most or not text.isprintable():
            raise InputError(f"--{name}: at most {most} printable characters on one line")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    home = versions_home(folder)
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise InputError(f"{home}: cannot be written ({error.strerror or error})") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the page and a command may change it at once
        yield
    finally:
        os.close(lock)


def _record(folder: Path, by: str, why: str) -> int:
    _require_texts(by, why)
    home, listed = versions_home(folder), read_versions(folder)
    recipe_sha = sha256_of(folder / RECIPE_FILE)
    if listed and listed[-1].kept and listed[-1].recipe_sha == recipe_sha:
        return listed[-1].version
    try:
        number = 1 + max([*(version.version for version in listed), *_numbers(home)], default=0)
        _keep_files(folder, home, number)
        model_sha, fail_at = _identity(folder)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        _append(home / VERSIONS_FILE, Version(number, at, by, why, recipe_sha, model_sha, fail_at))
        for old in sorted(_numbers(home))[:-KEPT]:
            shutil.rmtree(home / str(old), ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"{home}: the version cannot be written ({error.strerror or error}); free space there, or make it writable"
        ) from error
    return number


def _identity(folder: Path) -> tuple[str, float | None]:
    try:
        recipe = read_recipe_file(folder)
    except InputError:  # somebody's half-edited recipe is kept as well
        return "", None
    return recipe.model_sha, None if recipe.threshold is None else recipe.threshold.fail_at


def _numbers(home: Path) -> list[int]:
    return [int(path.name) for path in home.iterdir() if path.name.isdecimal()]


def _keep_files(folder: Path, home: Path, number: int) -> None:
    """Copy recipe.toml, which people edit in place, and link the rest. The version's folder appears complete."""
    scratch = home / f".{number}-{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir()
        shutil.copyfile(folder / RECIPE_FILE, scratch / RECIPE_FILE)
        _sync(scratch / RECIPE_FILE)
        if (folder / MAPPING_FILE).is_file():
            _link(folder / MAPPING_FILE, scratch / MAPPING_FILE)
        if (folder / REPORT_FOLDER).is_dir():
            copy_folder(folder / REPORT_FOLDER, scratch / REPORT_FOLDER, _link)
        scratch.rename(home / str(number))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _link(source: str | Path, target: str | Path) -> None:
    with suppress(OSError):  # a file system without hard links
        os.link(source, target)
        return
    shutil.copyfile(source, target)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _append(path: Path, version: Version) -> None:
    row = {key: value for key, value in asdict(version).items() if key != "kept"}
    line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
    with path.open("a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a torn line is ended first
                line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())

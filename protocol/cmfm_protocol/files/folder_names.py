"""Matching of file and folder names in a data set: one rule for every kind of file.

- A file belongs to a part by its name without the ending. The case of the ending does not matter (`.PNG`), and
  accented letters match in both of Unicode's spellings (a file system may change one into the other).
- Two files of one kind with one name are an error, because nothing says which of them is the part's.
- Hidden files (".DS_Store", "._000.png") are ignored.
- A name that is not UTF-8, or that holds a line break or another control character, is an error, because recipes,
  tables and ids are lines of UTF-8 text.
- A link that leads nowhere, a folder or a pipe in place of a file is an error: a part must not vanish with it.
"""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from cmfm_protocol.files.dataset_error import DatasetError


def files_by_stem(folder: Path, endings: tuple[str, ...]) -> dict[str, Path]:
    """Files of a folder with one of the `endings` (".png"), by their name without it.

    Raises DatasetError for two files of one name, for an entry that is no file, and for a name as in `visible`.
    """
    found = [entry for entry in visible(folder) if entry.suffix.lower() in endings]
    for entry in found:
        if not entry.is_file():
            raise DatasetError(f"{entry} {_instead_of_file(entry)}; expected a file")
    return unique((normal(entry.stem), entry) for entry in found)


def _instead_of_file(entry: Path) -> str:
    if entry.is_symlink():
        return f"is a link to {entry.readlink()}, where no file is"
    return "is a folder" if entry.is_dir() else "is a pipe, a socket or a device"


def unique(named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Return the paths by their keys. Raises DatasetError naming two paths with one key."""
    found: dict[str, Path] = {}
    for key, path in named:
        other = found.setdefault(key, path)
        if other != path:
            raise DatasetError(f"{other} and {path.name} have one name; expected one of them")
    return found


def visible(folder: Path) -> list[Path]:
    """Entries of a folder that are not hidden, sorted.

    Raises DatasetError if the folder cannot be read, or an entry is not named in UTF-8 without control characters.
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise DatasetError(f"{escaped(folder)} cannot be read ({error.strerror or error})") from error
    for entry in entries:
        require_utf8(entry)
        if any(unicodedata.category(character) == "Cc" for character in entry.name):
            raise DatasetError(f"{str(entry)!r} has a control character in its name; rename it")
    return entries


def require_utf8(path: Path) -> None:
    """Raise DatasetError if a path is not UTF-8 text."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise DatasetError(f"{escaped(path)} is not named in UTF-8; rename it") from None


def escaped(path: Path) -> str:
    """Return a path with the bytes that are not UTF-8 as \\xNN."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


def normal(name: str) -> str:
    """Return a name with accented letters in their composed spelling (NFC)."""
    return unicodedata.normalize("NFC", name)


def category_name(text: str) -> str:
    """Return the category that a user means: "biscuit/" and "./biscuit" are "biscuit"."""
    return os.path.normpath(text) if text.strip("./") else text


def almost_named(folder: Path, name: str) -> Path | None:
    """Return the folder in `folder` that is named almost like `name` (other case, spaces), or None."""
    if not folder.is_dir():
        return None
    entries = (entry for entry in folder.iterdir() if entry.name != name and entry.is_dir())
    return next(
        (entry for entry in sorted(entries) if entry.name.strip().casefold() == name.casefold()), None
    )


def missing(folder: Path, shape: str) -> DatasetError:
    """Return the error for a folder that is not there; it names a folder whose name is almost the same."""
    found = misnamed_in(folder.parent.parent, f"{folder.parent.name}/{folder.name}")
    return found or DatasetError(f"{folder} is missing; expected {shape}")


def misnamed_in(folder: Path, below: str) -> DatasetError | None:
    """Return the error for a folder that is almost named like one on the way `below` ("train/good"), or None."""
    for name in below.split("/"):
        if (folder / name).is_dir():
            folder /= name
        elif (other := almost_named(folder, name)) is not None:
            return DatasetError(f"{escaped(other)} must be named {name!r}, in lower case and without spaces")
        else:
            return None
    return None

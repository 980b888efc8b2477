"""Collected parts: those that a line keeps to teach a product from, and what people decided about each.

    <folder>/<product>/
        parts/<name>/     an archived part (`archived_part`): frame, verdict, maps if there are any
        choices.jsonl     one line a decision, appended: {"part", "use", "by", "at", "comment", "why"}

The last line about a part counts. A part without a line is good, unless a recipe judged it FAIL or UNDECIDED: such a
part is left out until somebody decides. A line that is not complete (its writer was killed) is ignored.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args

from cmfm_protocol.wire.limits import MAX_TEXT_BYTES, NAME_RULE
from cmfm_records.archived_part import NAME, part_folders, read_archived_part, read_facts
from cmfm_records.copying import copy_folder
from cmfm_settings.errors import InputError
from cmfm_settings.names import is_name

Use = Literal["good", "bad", "left_out"]
"""The use of a part: a nominal part to teach from, a labelled bad part to measure against, or nothing."""

PARTS: Final = "parts"
CHOICES: Final = "choices.jsonl"
TAKING: Final = ".taking-"
"""Prefix of a part's folder while it is copied."""

MAX_COMMENT_CHARS: Final = 1000


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision about one part: its use, who made it, when (UTC, ISO 8601), a comment, and why it came up."""

    part: str
    use: Use
    by: str
    at: str
    comment: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class CollectedPart:
    """One collected part: its folder, the contents of its result.json, and the decision that counts, if any."""

    folder: Path
    facts: Mapping[str, Any]
    choice: Choice | None

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def judged(self) -> bool:
        """True if a recipe decided about it. A part with a FAULT, for instance of an unknown recipe, was not judged."""
        return bool(self.facts["verdict"] != "FAULT")

    @property
    def use(self) -> Use:
        """The decision, or the rule for parts without one."""
        if self.choice is not None:
            return self.choice.use
        return "left_out" if self.judged and self.facts["verdict"] != "PASS" else "good"


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A product's collected parts, oldest first."""

    name: str
    folder: Path
    parts: tuple[CollectedPart, ...]

    def used_as(self, use: Use) -> tuple[CollectedPart, ...]:
        """The parts of one use, oldest first."""
        return tuple(part for part in self.parts if part.use == use)


def product_folder(folder: Path, product: str) -> Path:
    """Return the folder of a product, which need not exist. Raises InputError unless it is a name."""
    if not is_name(product):
        raise InputError(f"{product[:60]!r} is not a product's name: {NAME_RULE}")
    return folder / product


def products(folder: Path) -> list[str]:
    """The names of the products with collected parts under `folder`, sorted; none if it is not there."""
    try:
        entries = list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error})") from error
    return sorted(entry.name for entry in entries if is_name(entry.name) and (entry / PARTS).is_dir())


def read_product(folder: Path, product: str) -> Product:
    """Read a product's parts and decisions. A part that cannot be read, for instance half deleted, is left out.

    A product that has no folder has no parts. Raises InputError if the name is not one, or choices.jsonl is unreadable.
    """
    home = product_folder(folder, product)
    choices = _choices(home / CHOICES)
    parts = []
    for place in part_folders(home / PARTS):
        try:
            facts = read_facts(place)
        except InputError:
            continue
        parts.append(CollectedPart(place, facts, choices.get(place.name)))
    return Product(product, home, tuple(parts))


def read_choices(folder: Path, product: str) -> dict[str, Choice]:
    """Read the decision that counts for each part of a product, by its name. Raises InputError as `read_product`."""
    return _choices(product_folder(folder, product) / CHOICES)


def choose(
    folder: Path, product: str, part: str, use: Use, by: str, comment: str = "", *, why: str = ""
) -> Choice:
    """Append a decision about a part, on the disk when this returns. Raises InputError, saying what is wrong."""
    home = product_folder(folder, product)
    if NAME.fullmatch(part) is None or not (home / PARTS / part).is_dir():
        raise InputError(f"{product}: has no collected part {part[:100]!r}")
    if use not in get_args(Use):
        raise InputError(f"{use!r} is no use of a part; expected {', '.join(get_args(Use))}")
    if len(by.encode()) > MAX_TEXT_BYTES or len(comment) > MAX_COMMENT_CHARS:
        raise InputError(
            f"{part}: a name has at most {MAX_TEXT_BYTES} bytes, a comment {MAX_COMMENT_CHARS} characters"
        )
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    choice = Choice(part, use, by, at, comment, why)
    try:
        _append(home / CHOICES, choice)
    except OSError as error:
        raise InputError(f"{home / CHOICES}: cannot be written ({error.strerror or error})") from error
    return choice


def take_archived(
    folder: Path, product: str, archived: Path, use: Use, by: str, comment: str = "", *, why: str = ""
) -> Choice:
    """Copy an archived part to a product's parts, unless it is there, and append the decision about it.

    The part appears complete. Raises InputError if it is no archived part, its frame is damaged, or the disk refuses.
    """
    home = product_folder(folder, product)
    if NAME.fullmatch(archived.name) is None:
        raise InputError(f"{archived}: not the folder of a kept part")
    target = home / PARTS / archived.name
    if not target.is_dir():
        read_archived_part(archived)
        try:
            _copy(archived, target)
        except OSError as error:
            raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error
    return choose(folder, product, archived.name, use, by, comment, why=why)


def _copy(archived: Path, target: Path) -> None:
    """Copy a part's files, then give the folder its name. Raises OSError, and leaves nothing behind then."""
    scratch = target.with_name(f"{TAKING}{target.name}-{os.getpid()}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        copy_folder(archived, scratch)
        scratch.rename(target)
    except OSError:
        shutil.rmtree(scratch, ignore_errors=True)
        if target.is_dir():  # somebody else has copied it meanwhile
            return
        raise


def _choices(path: Path) -> dict[str, Choice]:
    """The decision that counts for each part. Raises InputError if the file is there and unreadable."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    read = (_choice(line) for line in lines)
    return {choice.part: choice for choice in read if choice is not None}


def _choice(line: bytes) -> Choice | None:
    """The decision in one line; None if the line is torn or of a later version."""
    try:
        entry = json.loads(line)
        values = {key: str(entry.get(key, "")) for key in ("part", "use", "by", "at", "comment", "why")}
    except (ValueError, AttributeError):
        return None
    if values["use"] not in get_args(Use) or NAME.fullmatch(values["part"]) is None:
        return None
    return Choice(**values)  # type: ignore[arg-type] # `use` was compared with the three


def _append(path: Path, choice: Choice) -> None:
    """Append one line and sync it; a torn line before it is ended first. Raises OSError."""
    entry = {key: getattr(choice, key) for key in ("part", "use", "by", "at", "comment", "why")}
    line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the page and a command may decide at once
        if file.seek(0, os.SEEK_END) and _last_byte(path) != b"\n":
            line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)

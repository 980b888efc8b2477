"""Reads an exported recipe that anybody may have made: everything about it is checked before a recipe appears.

Names are compared with those that a recipe has, so no path leads elsewhere. Links, encrypted entries, repeated names
and other compressions than deflate are refused. Sizes are those that the zip states, and more is never unpacked;
what they add up to is limited before the first byte is. Then the hashes, recipe.toml and the networks are checked.
"""

import hashlib
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from pydantic import ValidationError

from cmfm_settings.error_messages import describe_validation_error
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.bundle import BUNDLE_VERSION, MANIFEST_FILE, Manifest
from cmfm_worker.recipes.folder import REPORT_ENDINGS, REPORT_FOLDER
from cmfm_worker.recipes.recipe import RECIPE_FILE
from cmfm_worker.recipes.sections import MAPPING_FILE

MIB: Final = 1 << 20
MAX_BYTES: Final = 512 * MIB
"""Of the bundle, and of all that is in it; the networks of a recipe have some 20 MB, its report a few."""

MAX_FILES: Final = 70
MOST_BYTES: Final = {MANIFEST_FILE: MIB, RECIPE_FILE: 4 * MIB, MAPPING_FILE: MAX_BYTES}
MAX_REPORT_BYTES: Final = 64 * MIB
SPARE_BYTES: Final = 64 * MIB
"""Space that must stay free on the disk."""

_REPORT: Final = re.compile(rf"{REPORT_FOLDER}/[A-Za-z0-9_-][A-Za-z0-9_.-]{{0,99}}")
_CHUNK: Final = MIB

# The end of a zip (APPNOTE.TXT 4.3.16): signature, 6 bytes, entries, bytes of the directory, 4 bytes, comment's length
_END: Final = struct.Struct("<4s6xHL4xH")
_END_SIGNATURE: Final = b"PK\x05\x06"
_ZIP64_LOCATOR: Final = b"PK\x06\x07"
_ZIP64_LOCATOR_BYTES: Final = 20
_MAX_DIRECTORY_BYTES: Final = MAX_FILES * 512
_ENCRYPTED: Final = 0x1


@contextmanager
def opened(file: Path) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    """Open an exported recipe and check all that can be checked before it is unpacked. Raises InputError."""
    try:
        with file.open("rb") as bytes_, _as_zip(file, bytes_) as bundle:
            yield bundle, _checked(file, bundle)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error


def unpack(file: Path, bundle: zipfile.ZipFile, manifest: Manifest, folder: Path) -> None:
    """Write the files of the bundle to a new `folder` and compare their hashes. Raises InputError, OSError."""
    total = sum(each.bytes for each in manifest.files.values())
    free = shutil.disk_usage(folder.parent).free
    if free < total + SPARE_BYTES:
        raise InputError(
            f"{file}: has {total // MIB} MiB, and the disk of {folder.parent} only {free // MIB} MiB"
        )
    folder.mkdir(mode=0o755)
    for name, wanted in manifest.files.items():
        target = folder / name
        target.parent.mkdir(mode=0o755, exist_ok=True)
        if _unpack_one(file, bundle, name, target) != wanted.sha256:
            raise InputError(f"{file}: {name} is damaged: its sha256 is not the one in {MANIFEST_FILE}")


def _as_zip(file: Path, bytes_: IO[bytes]) -> zipfile.ZipFile:
    size = bytes_.seek(0, 2)
    if size > MAX_BYTES:
        raise InputError(
            f"{file}: has {size // MIB} MiB; an exported recipe has at most {MAX_BYTES // MIB} MiB"
        )
    tail = min(size, _END.size + _ZIP64_LOCATOR_BYTES)
    bytes_.seek(size - tail)
    read = bytes_.read(tail)
    if len(read) < _END.size:
        raise InputError(f"{file}: not an exported recipe (too short)")
    signature, entries, directory_bytes, comment_bytes = _END.unpack(read[-_END.size :])
    if signature != _END_SIGNATURE or comment_bytes or read.startswith(_ZIP64_LOCATOR):
        raise InputError(f"{file}: not an exported recipe, or its end is missing")
    if entries > MAX_FILES or directory_bytes > _MAX_DIRECTORY_BYTES:
        raise InputError(f"{file}: not an exported recipe, it names {entries} files")
    try:
        return zipfile.ZipFile(bytes_)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error) as error:
        raise InputError(f"{file}: not an exported recipe ({error})") from error


def _checked(file: Path, bundle: zipfile.ZipFile) -> Manifest:
    """Check names, kinds and sizes of the entries, then the manifest against them."""
    sizes: dict[str, int] = {}
    for entry in bundle.infolist():
        if entry.filename == f"{REPORT_FOLDER}/" and entry.file_size == 0:
            continue
        most = _most_bytes(entry.filename)
        if most is None or entry.filename in sizes:
            raise InputError(
                f"{file}: holds {entry.filename[:100]!r}, which is no file of a recipe, or is twice"
            )
        _require_plain(file, entry)
        if entry.file_size > most:
            raise InputError(
                f"{file}: {entry.filename} would have {entry.file_size} bytes; at most {most} are read"
            )
        sizes[entry.filename] = entry.file_size
    if sum(sizes.values()) > MAX_BYTES:
        raise InputError(
            f"{file}: would unpack to {sum(sizes.values()) // MIB} MiB; at most {MAX_BYTES // MIB}"
        )
    if missing := {MANIFEST_FILE, RECIPE_FILE, MAPPING_FILE} - set(sizes):
        raise InputError(f"{file}: not an exported recipe, it has no {min(missing)}")
    manifest = _manifest(file, bundle)
    stated = {name: each.bytes for name, each in manifest.files.items()} | {
        MANIFEST_FILE: sizes[MANIFEST_FILE]
    }
    if stated != sizes:
        raise InputError(f"{file}: {MANIFEST_FILE} names other files, or other sizes, than there are")
    return manifest


def _most_bytes(name: str) -> int | None:
    """Return how large a file of this name may be; None for a name that no recipe has."""
    if name in MOST_BYTES:
        return MOST_BYTES[name]
    if _REPORT.fullmatch(name) and Path(name).suffix in REPORT_ENDINGS:
        return MAX_REPORT_BYTES
    return None


def _require_plain(file: Path, entry: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    plain = kind in (0, stat.S_IFREG) and not entry.flag_bits & _ENCRYPTED
    if not plain or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{file}: {entry.filename} is a link, encrypted, or compressed in an unknown way")


def _manifest(file: Path, bundle: zipfile.ZipFile) -> Manifest:
    with _damaged(file, MANIFEST_FILE):
        text = bundle.read(MANIFEST_FILE)
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        if any(each["loc"] == ("format_version",) for each in error.errors()):
            raise InputError(
                f"{file}: has another format_version than {BUNDLE_VERSION}, which this cmfm reads"
            ) from error
        problems = describe_validation_error(error, Manifest, f"{file}: {MANIFEST_FILE}")
        raise InputError("\n".join(problems)) from error


def _unpack_one(file: Path, bundle: zipfile.ZipFile, name: str, target: Path) -> str:
    digest = hashlib.sha256()
    with _damaged(file, name), bundle.open(name) as source, target.open("xb") as written:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            written.write(chunk)
    target.chmod(0o644)
    return digest.hexdigest()


@contextmanager
def _damaged(file: Path, name: str) -> Iterator[None]:
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
        NotImplementedError,
        struct.error,
    ) as error:
        raise InputError(f"{file}: {name} is damaged ({error})") from error

"""Folders of archived parts as one ZIP, streamed while it is made: nothing is kept in memory or on the disk."""

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

CHUNK_BYTES: Final = 1 << 18
PROBLEMS_FILE: Final = "PROBLEMS.txt"
_COMPRESSED: Final = (".json", ".npy")
"""Pictures are compressed already, and points (TIFF) hardly can be."""


class _Pieces:
    """The bytes that the archive has written since they were taken; not seekable, so that it never looks back."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        """Keep a piece."""
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Nothing is kept back."""

    def take(self) -> bytes:
        """Return the pieces and forget them."""
        taken, self._pieces = b"".join(self._pieces), []
        return taken


def zip_stream(folders: Iterable[Path]) -> Iterator[bytes]:
    """Yield the bytes of a ZIP with the folders, each under its name.

    A file that cannot be read, for instance because the line deletes the part meanwhile, is named in PROBLEMS.txt at
    the end of the archive.
    """
    pieces, problems = _Pieces(), []
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:  # type: ignore[call-overload]
        for folder in folders:
            try:
                files = sorted(file for file in folder.iterdir() if file.is_file())
            except OSError as error:
                problems.append(f"{folder.name}: {error.strerror or error}")
                continue
            for file in files:
                try:
                    yield from _add(archive, pieces, file)
                except OSError as error:
                    problems.append(f"{folder.name}/{file.name}: {error.strerror or error}")
        if problems:
            archive.writestr(PROBLEMS_FILE, "\n".join(problems) + "\n")
    yield pieces.take()


def _add(archive: zipfile.ZipFile, pieces: _Pieces, file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        entry = zipfile.ZipInfo.from_file(file, f"{file.parent.name}/{file.name}", strict_timestamps=False)
        if file.suffix in _COMPRESSED:
            entry.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(entry, "w", force_zip64=True) as target:
            while piece := source.read(CHUNK_BYTES):
                target.write(piece)
                if taken := pieces.take():
                    yield taken

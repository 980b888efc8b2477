"""Watches a folder for parts whose files are all there and no longer change. Pure but for looking at the folder.

Looking beats notifications here: those of the kernel do not come from a network share.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Stamp(NamedTuple):
    """The marks that change when a file is written: a new file has a new inode, also under an old name."""

    inode: int
    modified_ns: int
    size: int


Stamps = tuple[Stamp | None, ...]
"""A stamp for each file of a part, None for one that is not there."""


@dataclass(slots=True)
class _Watched:
    """`taken` are the stamps of the part that was given before under this name, `done` says that this one was."""

    stamps: Stamps
    since_s: float
    taken: Stamps
    done: bool = False

    def fresh(self) -> Stamps:
        """The stamps, with None for a file that belongs to the part before."""
        return tuple(
            None if stamp == before else stamp for stamp, before in zip(self.stamps, self.taken, strict=True)
        )

    def changed(self, stamps: Stamps, now_s: float) -> "_Watched":
        """The state once the files have these stamps. A late file of a part that was given up makes no part."""
        only_late = self.done and all(
            before is None or before == after for before, after in zip(self.stamps, stamps, strict=True)
        )
        return _Watched(stamps, now_s, self.stamps if self.done else self.taken, done=only_late)


@dataclass(frozen=True, slots=True)
class Found:
    """A part whose files have settled. `missing` are those that did not come in time; an older part's do not count."""

    name: str
    paths: tuple[Path, ...]
    missing: tuple[Path, ...]
    stamps: Stamps


class FolderWatch:
    """Finds each new set of files once; a file that is written again under its name makes a new part.

    `settle_s`: seconds without a change before files are read. `missing_s`: seconds after which a part whose files are
    not all there is given up.
    """

    def __init__(self, folder: Path, endings: Sequence[str], *, settle_s: float, missing_s: float) -> None:
        self._folder = folder
        self._endings = tuple(endings)
        self._settle_s, self._missing_s = settle_s, missing_s
        self._watched: dict[str, _Watched] = {}

    def skip_existing(self) -> None:
        """Take no part that is in the folder now. Raises OSError."""
        for name, stamps in self._look().items():
            self._watched[name] = _Watched(stamps, 0.0, self._none(), done=True)

    def look(self, now_s: float) -> list[Found]:
        """Return the parts that are ready at `now_s`, oldest first; each is given once. Raises OSError."""
        present = self._look()
        self._watched = {name: kept for name, kept in self._watched.items() if name in present}
        ready = []
        for name, stamps in present.items():
            watched = self._watched.setdefault(name, _Watched(stamps, now_s, self._none()))
            if watched.stamps != stamps:
                watched = self._watched[name] = watched.changed(stamps, now_s)
            if not watched.done and self._has_settled(watched, now_s):
                watched.done = True
                ready.append(self._found(name, watched))
        return sorted(ready, key=lambda found: (_newest_ns(found.stamps), found.name))

    def is_unchanged(self, found: Found) -> bool:
        """Tell whether the files of a part are still those that were found. Raises OSError."""
        return tuple(_stamp(path) for path in self._paths(found.name)) == found.stamps

    def again(self, found: Found) -> None:
        """Give a part again once its files have settled: they changed while they were read."""
        if watched := self._watched.get(found.name):
            watched.done = False

    def _has_settled(self, watched: _Watched, now_s: float) -> bool:
        is_whole = None not in watched.fresh()
        return now_s - watched.since_s >= (self._settle_s if is_whole else self._missing_s)

    def _none(self) -> Stamps:
        return (None,) * len(self._endings)

    def _look(self) -> dict[str, Stamps]:
        names: dict[str, None] = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    names.update(dict.fromkeys(self._names_of(entry.name)))
        stamps = {name: tuple(_stamp(path) for path in self._paths(name)) for name in names}
        return {name: found for name, found in stamps.items() if any(found)}

    def _names_of(self, file: str) -> list[str]:
        return [file.removesuffix(end) for end in self._endings if file.endswith(end) and file != end]

    def _paths(self, name: str) -> tuple[Path, ...]:
        return tuple(self._folder / f"{name}{ending}" for ending in self._endings)

    def _found(self, name: str, watched: _Watched) -> Found:
        paths = self._paths(name)
        missing = tuple(path for path, stamp in zip(paths, watched.fresh(), strict=True) if stamp is None)
        return Found(name, paths, missing, watched.stamps)


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return Stamp(status.st_ino, status.st_mtime_ns, status.st_size)


def _newest_ns(stamps: Stamps) -> int:
    return max(stamp.modified_ns for stamp in stamps if stamp is not None)

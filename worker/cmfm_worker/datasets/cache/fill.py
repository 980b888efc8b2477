"""Filling a cache of prepared parts (`prepared_cache`): only what is not there yet, part by part.

A part's file appears whole or not at all, so that a run may be interrupted at any time and goes on where it was.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from cmfm_protocol.files.dataset import DatasetError, PartFiles
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.datasets.cache.key import Preparation
from cmfm_worker.datasets.cache.part_file import (
    PartRecord,
    SourceFile,
    read_record,
    sources_of,
    write_prepared,
)
from cmfm_worker.datasets.cache.store import FORMAT_VERSION, MANIFEST, PARTS, PreparedCache
from cmfm_worker.datasets.source import FROM_FILES
from cmfm_worker.errors import InputError


@dataclass(slots=True)
class Filled:
    """What a run did: parts prepared by it, of which `renewed` replaced one that had changed, and those kept.

    `torn` maps the parts that could not be read to the reason; `nbytes` is the size of all asked-for parts' files.
    """

    prepared: int = 0
    renewed: int = 0
    kept: int = 0
    nbytes: int = 0
    torn: dict[str, str] = field(default_factory=dict)


def open_or_make(folder: Path, preparation: Preparation, *, force: bool) -> PreparedCache:
    """The cache in `folder`, made where there is none.

    Raises InputError where something else is there, or a cache of another preparation while `force` is False; with
    `force` its manifest is replaced, and with that all of its parts are out of date.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return _make(folder, preparation)
    if not (folder / MANIFEST).is_file():
        raise InputError(
            f"{folder}: something else is there that is no folder of prepared parts; not touched"
        )
    if force:
        return _make(folder, preparation)
    cache = PreparedCache.open(folder)
    if found := cache.preparation.differences(preparation):
        raise InputError(
            f"{folder}: its parts were prepared in another way: {'; '.join(found)}; take another folder, or give "
            "--force to prepare them all anew"
        )
    return cache


def fill(
    cache: PreparedCache,
    parts: Sequence[PartFiles],
    batch: int,
    device: torch.device,
    progress: ReportProgress,
) -> Filled:
    """Prepare the parts that the cache does not hold as they are now.

    Parts that cannot be read are written as such and named in what is returned. Raises InputError where the cache
    cannot be written.
    """
    run = _Run(cache, len(parts), progress)
    waiting = [part for part in parts if run.must_prepare(part)]
    run.say()
    try:
        for some in FROM_FILES.batches(waiting, batch, cache.preparation.background, device, run.torn):
            for place, part in enumerate(some.files):
                run.wrote(
                    write_prepared(cache.path(part), run.record(part, some.size_px), some.frames, place)
                )
    except OSError as error:
        raise InputError(f"{cache.folder}: cannot be written ({error.strerror or error})") from error
    return run.filled


class _Run:
    """What a run has done so far."""

    def __init__(self, cache: PreparedCache, total: int, progress: ReportProgress) -> None:
        self.filled = Filled()
        self._cache = cache
        self._total = total
        self._progress = progress
        self._sources: dict[str, tuple[SourceFile, ...]] = {}

    def must_prepare(self, part: PartFiles) -> bool:
        """Whether the part is not there as it is now; the state of its files is noted before they are read."""
        path, sources = self._cache.path(part), sources_of(part)
        if self._cache.objection(part) is None:
            self.filled.kept += 1
            self.filled.nbytes += path.stat().st_size
            if why := read_record(path).torn:
                self.filled.torn[part.id] = why
            return False
        self.filled.renewed += path.is_file()
        self._sources[part.id] = sources
        return True

    def record(self, part: PartFiles, size_px: tuple[int, int], torn: str = "") -> PartRecord:
        """What is written about a part."""
        return PartRecord(part.id, self._cache.preparation.sha256, self._sources[part.id], size_px, torn)

    def torn(self, part: PartFiles, error: DatasetError) -> None:
        """A part that cannot be read: evaluations name it, teaching refuses it, as without a cache."""
        self.filled.torn[part.id] = str(error)
        self.wrote(write_prepared(self._cache.path(part), self.record(part, (0, 0), str(error)), None))

    def wrote(self, nbytes: int) -> None:
        """One more part is done."""
        self.filled.prepared += 1
        self.filled.nbytes += nbytes
        self.say()

    def say(self) -> None:
        """Tell how far it is."""
        self._progress("prepare", self.filled.prepared + self.filled.kept, self._total)


def _make(folder: Path, preparation: Preparation) -> PreparedCache:
    """Write the manifest; it appears whole."""
    table = {"format_version": FORMAT_VERSION, "preparation": preparation.as_map()}
    scratch = folder / f".{MANIFEST}.part"
    try:
        (folder / PARTS).mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
        scratch.replace(folder / MANIFEST)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made a folder of prepared parts ({error.strerror or error})"
        ) from error
    return PreparedCache(folder, preparation)

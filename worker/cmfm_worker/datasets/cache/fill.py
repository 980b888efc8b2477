"""Fills a cache with prepared parts, one by one, skipping parts that it holds already.

A part's file appears whole or not at all, so a run may be interrupted at any time; the next one continues.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from cmfm_protocol.files.dataset import DatasetError, ImplausiblePointsError, PartFiles
from cmfm_protocol.wire.points import PointFacts
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.datasets.cache.key import CacheKey
from cmfm_worker.datasets.cache.part_file import (
    PartRecord,
    SourceFile,
    read_record,
    sources_of,
    write_prepared,
)
from cmfm_worker.datasets.cache.store import FORMAT_VERSION, MANIFEST, PARTS, CacheStore
from cmfm_worker.datasets.source import FROM_FILES
from cmfm_worker.errors import InputError


@dataclass(slots=True)
class FillReport:
    """Counts of a run: parts `prepared`, of which `renewed` replaced a changed one, and parts `kept`.

    `torn` maps parts that could not be read to the reason; `nbytes` is the size of the cache files of all given parts.
    `impossible` maps parts that were prepared now to their number of impossible points, if they have any.
    """

    prepared: int = 0
    renewed: int = 0
    kept: int = 0
    nbytes: int = 0
    torn: dict[str, str] = field(default_factory=dict)
    impossible: dict[str, int] = field(default_factory=dict)


def open_or_make(folder: Path, key: CacheKey, *, force: bool) -> CacheStore:
    """Open the cache in `folder`, or create it if the folder is empty or missing.

    Raises InputError if the folder holds anything else, or a cache with another key while `force` is False. With
    `force` the manifest is replaced, so all parts in the cache become outdated.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return _make(folder, key)
    if not (folder / MANIFEST).is_file():
        raise InputError(
            f"{folder}: holds files that are not prepared parts (no {MANIFEST}); nothing changed"
        )
    if force:
        return _make(folder, key)
    cache = CacheStore.open(folder)
    if found := cache.key.differences(key):
        raise InputError(
            f"{folder}: its parts were prepared in another way: {'; '.join(found)}; use another folder, or give "
            "--force to prepare them all again"
        )
    return cache


def fill(
    cache: CacheStore,
    parts: Sequence[PartFiles],
    batch: int,
    device: torch.device,
    progress: ReportProgress,
) -> FillReport:
    """Prepare the parts that the cache does not hold in their present state.

    Parts that cannot be read are recorded as unreadable in the cache and named in the report. Reports the stage
    "prepare" to `progress`. Raises InputError if the cache cannot be written.
    """
    run = _Run(cache, len(parts), progress)
    missing = [part for part in parts if run.must_prepare(part)]
    run.report()
    try:
        for some in FROM_FILES.batches(missing, batch, cache.key.background, device, run.torn):
            for place, (part, points) in enumerate(zip(some.files, some.points, strict=True)):
                record = run.record(part, some.size_px, points)
                run.wrote(write_prepared(cache.path(part), record, some.frames, place))
    except OSError as error:
        raise InputError(f"{cache.folder}: cannot be written ({error.strerror or error})") from error
    return run.done


class _Run:
    """The state of one run."""

    def __init__(self, cache: CacheStore, total: int, progress: ReportProgress) -> None:
        self.done = FillReport()
        self._cache = cache
        self._total = total
        self._progress = progress
        self._sources: dict[str, tuple[SourceFile, ...]] = {}

    def must_prepare(self, part: PartFiles) -> bool:
        """Return True if the cache lacks the part in its present state, which is noted before its files are read."""
        path, sources = self._cache.path(part), sources_of(part)
        if self._cache.objection(part) is None:
            self.done.kept += 1
            self.done.nbytes += path.stat().st_size
            if why := read_record(path).torn:
                self.done.torn[part.id] = why
            return False
        self.done.renewed += path.is_file()
        self._sources[part.id] = sources
        return True

    def record(self, part: PartFiles, size_px: tuple[int, int], points: PointFacts) -> PartRecord:
        """Return the record that is written with a part."""
        if points.impossible_px:
            self.done.impossible[part.id] = points.impossible_px
        return replace(
            self._torn_record(part, ""),
            size_px=size_px,
            distance_m=points.distance_m,
            impossible_px=points.impossible_px,
        )

    def torn(self, part: PartFiles, error: DatasetError) -> None:
        """Record an unreadable part. As without a cache, evaluations name it and teaching refuses it.

        Raises ImplausiblePointsError again: points in another unit are not the fault of one part.
        """
        if isinstance(error, ImplausiblePointsError):
            raise error
        self.done.torn[part.id] = str(error)
        self.wrote(write_prepared(self._cache.path(part), self._torn_record(part, str(error)), None))

    def _torn_record(self, part: PartFiles, why: str) -> PartRecord:
        return PartRecord(part.id, self._cache.key.sha256, self._sources[part.id], (0, 0), why, part.xyz_unit)

    def wrote(self, nbytes: int) -> None:
        """Count one written part."""
        self.done.prepared += 1
        self.done.nbytes += nbytes
        self.report()

    def report(self) -> None:
        """Report how many parts are done."""
        self._progress("prepare", self.done.prepared + self.done.kept, self._total)


def _make(folder: Path, key: CacheKey) -> CacheStore:
    """Create the folders and write the manifest, which appears whole."""
    table = {"format_version": FORMAT_VERSION, "key": key.as_map()}
    scratch = folder / f".{MANIFEST}.part"
    try:
        (folder / PARTS).mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
        scratch.replace(folder / MANIFEST)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be created as a folder of prepared parts ({error.strerror or error})"
        ) from error
    return CacheStore(folder, key)

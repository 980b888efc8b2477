"""A folder of prepared parts, made once by `cmfm-worker prepare` and used by any number of fits and evaluations.

    <cache>/manifest.json           how the parts were prepared (`cache.key`)
    <cache>/parts/<id>.safetensors  one part each, with the sizes and times of the files it was made from

Outdated or foreign files are never used: a part must have the key that is asked for, and its files must be unchanged.
Parts that could not be read are recorded too.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import torch
from torch import Tensor

from cmfm_protocol.files.dataset import DatasetError, PartFiles
from cmfm_worker.cfm.prepare import BackgroundOptions
from cmfm_worker.datasets.batches import Torn, batched
from cmfm_worker.datasets.cache.key import CacheKey
from cmfm_worker.datasets.cache.part_file import (
    PartRecord,
    UnreadableError,
    read_prepared,
    read_record,
    sources_of,
    stacked,
)
from cmfm_worker.datasets.source import FROM_FILES, PartSource, PreparedBatch
from cmfm_worker.errors import InputError

MANIFEST: Final = "manifest.json"
PARTS: Final = "parts"
FORMAT_VERSION: Final = 1

_Loaded = tuple[PartFiles, PartRecord, dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class CacheStore:
    """Implements `PartSource` from the files of a cache; `key` comes from its manifest."""

    folder: Path
    key: CacheKey

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a cache by its manifest. Raises InputError if `folder` is not a cache."""
        path = folder / MANIFEST
        if not path.is_file():
            raise InputError(
                f"{folder}: not a folder of prepared parts: it has no {MANIFEST}; see `cmfm-worker prepare`"
            )
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            if table["format_version"] != FORMAT_VERSION:
                raise InputError(
                    f"{path}: format_version is {table['format_version']!r}, this cmfm reads {FORMAT_VERSION}"
                )
            return cls(folder, CacheKey.of_map(table["key"]))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"{path}: cannot be read as a manifest ({error}); prepare the parts again"
            ) from error

    def path(self, part: PartFiles) -> Path:
        """Return the path of a part's file."""
        return self.folder / PARTS / f"{part.id}.safetensors"

    def require(
        self, parts: Sequence[PartFiles], background: BackgroundOptions, device: torch.device
    ) -> None:
        """Check the header of every part's file, before any long work.

        Raises InputError if the cache has another key, or lacks parts in their present state.
        """
        self._require_key(background, device)
        objections = [why for part in parts if (why := self.objection(part)) is not None]
        if objections:
            more = f" (and {len(objections) - 1} more of {len(parts)})" if len(objections) > 1 else ""
            raise InputError(
                f"{self.folder}: {objections[0]}{more}; run `cmfm-worker prepare` again: it prepares only these"
            )

    def objection(self, part: PartFiles) -> str | None:
        """Return why a part cannot be taken from the cache, None if it can."""
        try:
            return self._objection(part, read_record(self.path(part)))
        except UnreadableError as error:
            return str(error)

    def batches(
        self,
        parts: Sequence[PartFiles],
        batch: int,
        background: BackgroundOptions,
        device: torch.device,
        torn: Torn | None = None,
    ) -> Iterator[PreparedBatch]:
        """See `PartSource`. Also raises InputError for a part that has changed since `require`."""
        self._require_key(background, device)
        for some in batched(self._loaded(parts, torn), batch, lambda loaded: loaded[1].size_px):
            frames = stacked([frame for _, _, frame in some], device)
            yield PreparedBatch(
                tuple(part for part, _, _ in some),
                frames,
                some[0][1].size_px,
                tuple(r.points for _, r, _ in some),
            )

    def _loaded(self, parts: Sequence[PartFiles], torn: Torn | None) -> Iterator[_Loaded]:
        for part in parts:
            try:
                record, frame = read_prepared(self.path(part))
            except UnreadableError as error:
                raise InputError(f"{error}; run `cmfm-worker prepare` again") from error
            if (objection := self._objection(part, record)) is not None:
                raise InputError(f"{self.folder}: {objection}; run `cmfm-worker prepare` again")
            if not record.torn:
                yield part, record, frame
            elif torn is None:
                raise DatasetError(record.torn)
            else:
                torn(part, DatasetError(record.torn))

    def _objection(self, part: PartFiles, record: PartRecord) -> str | None:
        if record.part != part.id:
            return f"{self.path(part)} belongs to the part {record.part}"
        if record.key != self.key.sha256:
            return f"{part.id} was prepared in another way than the manifest says"
        if record.xyz_unit != part.xyz_unit:
            return f"{part.id} was prepared with points in {record.xyz_unit}, not in {part.xyz_unit} (--xyz-unit)"
        if len(record.sources) != len(part.sources):
            return f"{part.id} was prepared from other files"
        for then, now, path in zip(record.sources, sources_of(part), part.sources, strict=True):
            if then.name != now.name:
                return f"{part.id} was prepared from {then.name}, not from {path}"
            if then != now:
                return f"{path} has changed since it was prepared: its size or time differs"
        return None

    def _require_key(self, background: BackgroundOptions, device: torch.device) -> None:
        found = self.key.differences(CacheKey.here(background, device))
        if found:
            raise InputError(f"{self.folder}: was not prepared as asked for: {'; '.join(found)}")


def source_of(
    prepared: Path | None, parts: Sequence[PartFiles], background: BackgroundOptions, device: torch.device
) -> PartSource:
    """Return a command's source of prepared frames: the checked cache in `prepared`, or for None the parts' files.

    Raises InputError if the cache cannot be used for these parts.
    """
    if prepared is None:
        return FROM_FILES
    cache = CacheStore.open(prepared)
    cache.require(parts, background, device)
    return cache

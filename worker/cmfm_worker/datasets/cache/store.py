"""A folder of prepared parts, made once (`cmfm-worker prepare`) and used by any number of fits and evaluations.

    <cache>/manifest.json       how the parts were prepared (`preparation`)
    <cache>/parts/<id>.safetensors  one part each, with the sizes and times of the files it was made from

Nothing stale or foreign is used: a part counts only if its preparation is the one asked for and its files are those it
was made from. Parts that could not be read are there too, as such.
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
from cmfm_worker.datasets.cache.key import Preparation
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
class PreparedCache:
    """Implements `PartSource` from the files of a cache; `preparation` is what its manifest says."""

    folder: Path
    preparation: Preparation

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read the manifest of a cache. Raises InputError where `folder` is none."""
        path = folder / MANIFEST
        if not path.is_file():
            raise InputError(
                f"{folder}: not a folder of prepared parts, it has no {MANIFEST}; see `cmfm-worker prepare`"
            )
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            if table["format_version"] != FORMAT_VERSION:
                raise InputError(
                    f"{path}: format_version is {table['format_version']!r}, this cmfm reads {FORMAT_VERSION}"
                )
            return cls(folder, Preparation.of_map(table["preparation"]))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"{path}: cannot be read as a manifest ({error}); prepare the parts anew"
            ) from error

    def path(self, part: PartFiles) -> Path:
        """The file of a part."""
        return self.folder / PARTS / f"{part.id}.safetensors"

    def require(
        self, parts: Sequence[PartFiles], background: BackgroundOptions, device: torch.device
    ) -> None:
        """Look at the head of every part's file, before any long work.

        Raises InputError where the cache was prepared in another way, or lacks parts that are as they are now.
        """
        self._require_preparation(background, device)
        objections = [said for part in parts if (said := self.objection(part)) is not None]
        if objections:
            more = f" (and {len(objections) - 1} more of {len(parts)})" if len(objections) > 1 else ""
            raise InputError(
                f"{self.folder}: {objections[0]}{more}; run `cmfm-worker prepare` again: only these are prepared anew"
            )

    def objection(self, part: PartFiles) -> str | None:
        """Why a part cannot be taken from the cache, None where it can."""
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
        """See `PartSource`. Raises InputError also for a part that changed since `require` looked at it."""
        self._require_preparation(background, device)
        for some in batched(self._loaded(parts, torn), batch, lambda loaded: loaded[1].size_px):
            frames = stacked([frame for _, _, frame in some], device)
            yield PreparedBatch(tuple(part for part, _, _ in some), frames, some[0][1].size_px)

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
            return f"{self.path(part)} is of the part {record.part}"
        if record.preparation != self.preparation.sha256:
            return f"{part.id} was prepared in another way than the manifest says"
        if len(record.sources) != len(part.sources):
            return f"{part.id} was prepared from other files"
        for then, now, path in zip(record.sources, sources_of(part), part.sources, strict=True):
            if then.name != now.name:
                return f"{part.id} was prepared from {then.name}, not from {path}"
            if then != now:
                return f"{path} is not the file that was prepared: its size or time has changed"
        return None

    def _require_preparation(self, background: BackgroundOptions, device: torch.device) -> None:
        found = self.preparation.differences(Preparation.here(background, device))
        if found:
            raise InputError(f"{self.folder}: not prepared as asked for: {'; '.join(found)}")


def source_of(
    prepared: Path | None, parts: Sequence[PartFiles], background: BackgroundOptions, device: torch.device
) -> PartSource:
    """The source of prepared frames of a command: the cache in `prepared`, looked at, or for None the parts' files.

    Raises InputError where the cache cannot be used for these parts.
    """
    if prepared is None:
        return FROM_FILES
    cache = PreparedCache.open(prepared)
    cache.require(parts, background, device)
    return cache

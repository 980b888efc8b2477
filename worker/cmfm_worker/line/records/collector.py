"""The collector: keeps the parts that a `collect` request asks for, to teach a recipe from (`cmfm_records.collected`).

A thread of its own writes them, also parts of which the line does not know the recipe. The line never waits for it: a
part that finds no room in the queue, or that the disk refuses, is counted, and a later part takes its place.
"""

import queue
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from cmfm_protocol.wire.frame import Frame
from cmfm_protocol.wire.record_requests import CollectRequest
from cmfm_protocol.wire.result import fit_text
from cmfm_protocol.wire.state import CollectState
from cmfm_records.archived_part import part_folders
from cmfm_records.collected import PARTS, product_folder, products
from cmfm_records.odd_parts import view_of
from cmfm_worker.line.records.archive import MAPS_BYTES, MAX_PENDING, WritePart
from cmfm_worker.line.records.archive_folder import PARTIAL, folder_bytes, write_part
from cmfm_worker.line.records.recorder import Evidence

RESERVE_BYTES: Final = 256 << 20
"""Room that collected parts leave on the disk: ledger and archive may lie on the same one."""

LOG_EVERY: Final = 60
"""Dropped parts between two log lines."""

Done = Callable[[str | None], None]
"""Takes the error, or None once the folder can be written. Any thread may call it."""


@dataclass(frozen=True, slots=True)
class _Start:
    request: CollectRequest
    done: Done


@dataclass(frozen=True, slots=True)
class _Part:
    request: CollectRequest
    evidence: Evidence
    frame: Frame
    sha256: str


def free_bytes(folder: Path) -> int:
    """Bytes that are free for us on the disk of a folder. Raises OSError."""
    return shutil.disk_usage(folder).free


class Collector:
    """Writer thread over the folder of collected parts. Nothing is written, and no folder made, before a request.

    `made_on` is written into every result.json: device, threads, versions.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_mb: float,
        made_on: Mapping[str, object] | None = None,
        write: WritePart = write_part,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._folder = folder
        self._max_bytes = int(max_mb * 1e6)
        self._made_on = dict(made_on or {})
        self._write_part = write
        self._free = free
        self._bytes = 0  # of all products, counted at each request
        self._lock = threading.Lock()
        self._request: CollectRequest | None = None  # the newest; the others are its counts
        self._active = False
        self._seen = self._pending = self._collected = self._dropped = 0
        self._detail = ""
        self._queue: queue.Queue[_Start | _Part | None] = queue.Queue(MAX_PENDING)
        self._log = structlog.get_logger("collector")
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)
        self._thread.start()

    def begin(self, request: CollectRequest, done: Done) -> None:
        """Carry out a request; never blocks. `done` hears of it, from the writer's thread or at once."""
        if not request.wanted:
            self._stop()
            done(None)
            return
        try:
            self._queue.put_nowait(_Start(request, done))
        except queue.Full:
            done("the disk of the collected parts does not keep up; ask again")

    def keep(self, evidence: Evidence, sha256: str) -> None:
        """Keep a part if it is wanted; `sha256` is its frame's. Never blocks."""
        frame = evidence.frame
        if frame is None:
            return
        with self._lock:
            request = self._take(frame)
        if request is None:
            return
        try:
            self._queue.put_nowait(_Part(request, evidence, frame, sha256))
        except queue.Full:
            self._drop(request, "the disk does not keep up")

    def state(self) -> CollectState | None:
        """The newest request and what became of it; None before the first."""
        with self._lock:
            request = self._request
            if request is None:
                return None
            return CollectState(
                request.product,
                wanted=request.wanted,
                collected=self._collected,
                dropped=self._dropped,
                every=request.every,
                frames_of=request.frames_of,
                detail=self._detail,
            )

    @property
    def dropped(self) -> int:
        """Parts that the newest request should have kept and did not."""
        return self._dropped

    def close(self, *, timeout_s: float = 10.0) -> None:
        """Write what is pending and end the thread."""
        self._stop()
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            return  # a disk that hangs must not keep the line from ending
        self._thread.join(timeout_s)

    def _take(self, frame: Frame) -> CollectRequest | None:
        """Count a part that ran by; returns the request if it is wanted. Called under the lock."""
        request = self._request
        if request is None or not self._active or self._collected + self._pending >= request.wanted:
            return None
        if request.frames_of and frame.header.recipe != request.frames_of:
            return None
        self._seen += 1
        if (self._seen - 1) % request.every:
            return None
        self._pending += 1
        return request

    def _stop(self) -> None:
        """Want no further part: what is pending is still kept and counts."""
        with self._lock:
            if self._request is not None and self._active:
                self._request = replace(self._request, wanted=self._collected + self._pending)
            self._active = False

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, _Start):
                self._start(item)
            else:
                self._keep(item)
            del item  # or the last frame would be held until the next

    def _start(self, start: _Start) -> None:
        request = start.request
        try:
            self._open(request.product)
        except Exception as error:  # noqa: BLE001 (a folder that cannot be used must not end the line)
            why = f"{self._folder / request.product}: cannot be written ({_words(error)})"
            self._log.warning("collect_refused", product=request.product, detail=why)
            start.done(fit_text(why))
            return
        with self._lock:
            self._request, self._active = request, True
            self._seen = self._pending = self._collected = self._dropped = 0
            self._detail = ""
        self._log.info("collect", product=request.product, wanted=request.wanted, every=request.every)
        start.done(None)

    def _open(self, product: str) -> None:
        """Make the product's folder, remove what a killed process left half written, count bytes. Raises OSError."""
        parts = product_folder(self._folder, product) / PARTS
        parts.mkdir(parents=True, exist_ok=True)
        for torn in parts.glob(f"{PARTIAL}*"):
            shutil.rmtree(torn, ignore_errors=True)
        probe = parts / f"{PARTIAL}probe"
        probe.mkdir()
        probe.rmdir()
        folders = (
            part for name in products(self._folder) for part in part_folders(self._folder / name / PARTS)
        )
        self._bytes = sum(map(folder_bytes, folders))

    def _keep(self, part: _Part) -> None:
        parts = self._folder / part.request.product / PARTS
        try:
            self._require_room(parts, part.frame.rgb.nbytes + part.frame.xyz.nbytes + MAPS_BYTES)
            facts = {**self._made_on, "view": view_of(part.frame.rgb, part.frame.xyz).facts()}
            self._bytes += self._write_part(parts, part.evidence, part.frame, part.sha256, facts)
        except Exception as error:  # noqa: BLE001 (a part that is not kept must not end the line)
            self._drop(part.request, _words(error))
            return
        with self._lock:
            if self._counts(part.request):
                self._pending -= 1
                self._collected += 1

    def _require_room(self, parts: Path, expected: int) -> None:
        if self._bytes + expected > self._max_bytes:
            raise OSError(None, f"the collected parts fill [collected] max_mb = {self._max_bytes / 1e6:g}")
        if self._free(parts) < expected + RESERVE_BYTES:
            raise OSError(None, f"the disk of {self._folder} has less than {RESERVE_BYTES >> 20} MB free")

    def _drop(self, request: CollectRequest, why: str) -> None:
        with self._lock:
            if not self._counts(request):
                return
            self._pending -= 1
            self._dropped += 1
            self._detail = fit_text(why)
            dropped = self._dropped
        if dropped % LOG_EVERY == 1:
            self._log.warning("part_not_collected", product=request.product, detail=why, dropped=dropped)

    def _counts(self, request: CollectRequest) -> bool:
        """True if a part that was taken for `request` counts for the newest request. Called under the lock."""
        return self._request is not None and self._request.id == request.id


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}"

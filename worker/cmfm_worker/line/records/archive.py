"""The archive: frames and maps of rejected parts on disk, up to a size; the oldest are deleted first.

A thread of its own writes them from the received message, which nobody changes. The line never waits for it: a part
that finds no room in the queue, or that the disk refuses, is counted and not kept.
"""

import platform
import queue
import shutil
import threading
from collections import deque
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

import structlog
import torch

from cmfm_protocol.wire.frame import Frame
from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.archived_part import part_folders
from cmfm_worker.errors import StartupError
from cmfm_worker.line.records.archive_folder import PARTIAL, folder_bytes, part_name, write_part
from cmfm_worker.line.records.recorder import Evidence

Which = Literal["rejected", "inspected", "all", "none"]

WritePart = Callable[[Path, Evidence, Frame, str, Mapping[str, object]], int]
"""Writes a part under a folder and returns its bytes, as `write_part`."""

MAX_PENDING: Final = 16
"""Parts waiting for the disk, about 50 MB at 400 × 400 pixels."""

MAPS_BYTES: Final = 1 << 20
"""Size of the maps and result.json, rounded up."""


def is_wanted(which: Which, verdict: Verdict) -> bool:
    """True if a part with a readable frame is kept: `rejected` keeps all but PASS, `inspected` FAIL and UNDECIDED."""
    if which == "inspected":
        return verdict in (Verdict.FAIL, Verdict.UNDECIDED)
    return which == "all" or (which == "rejected" and verdict is not Verdict.PASS)


def made_on(device: torch.device, threads: int) -> dict[str, object]:
    """Facts that a score's last bits depend on besides frame and recipe: device, CPU threads, versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "device": str(device),
        "device_name": name,
        "threads": threads,
        "torch": torch.__version__,
        "cmfm": version("cmfm"),
    }


class Archive:
    """Writer thread over one folder. Raises StartupError if the folder cannot be written.

    `made_on` is written into every result.json: device, threads, versions.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_mb: float,
        which: Which,
        made_on: Mapping[str, object] | None = None,
        write: WritePart = write_part,
    ) -> None:
        self.kept = 0
        self.dropped = 0
        self._folder = folder
        self._max_bytes = int(max_mb * 1e6)
        self._which = which
        self._made_on = dict(made_on or {})
        self._write_part = write
        self._queue: queue.Queue[tuple[Evidence, Frame, str] | None] = queue.Queue(MAX_PENDING)
        self._log = structlog.get_logger("archive")
        self._parts: deque[tuple[Path, int]] = deque()  # oldest first
        self._bytes = 0
        self._open_folder()
        self._thread = threading.Thread(target=self._run, name="archive", daemon=True)
        self._thread.start()

    def keep(self, evidence: Evidence, sha256: str) -> None:
        """Keep a part if it is wanted; `sha256` is its frame's. Never blocks."""
        if evidence.frame is None or not is_wanted(self._which, evidence.result.verdict):
            return
        try:
            self._queue.put_nowait((evidence, evidence.frame, sha256))
        except queue.Full:
            self._drop(evidence, "the disk does not keep up")

    def close(self, *, timeout_s: float = 10.0) -> None:
        """Write what is pending and end the thread."""
        if not self._thread.is_alive():
            return
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            return  # a disk that hangs must not keep the line from ending
        self._thread.join(timeout_s)

    def _open_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for torn in self._folder.glob(f"{PARTIAL}*"):  # of a process that was killed
                shutil.rmtree(torn, ignore_errors=True)
            probe = self._folder / f"{PARTIAL}probe"
            probe.mkdir()
            probe.rmdir()
        except OSError as error:
            raise StartupError(
                f"kept parts: {self._folder} cannot be written ({error.strerror or error}); "
                'set another [kept] folder, or which = "none"'
            ) from error

    def _run(self) -> None:
        self._count_parts()
        for evidence, frame, sha256 in iter(self._queue.get, None):
            try:
                self._write(evidence, frame, sha256)
            except Exception as error:  # noqa: BLE001 (a part that is not kept must not end the line)
                self._drop(evidence, f"{type(error).__name__}: {error}")

    def _count_parts(self) -> None:
        for folder in part_folders(self._folder):
            try:
                size = folder_bytes(folder)
            except OSError:  # somebody has removed it meanwhile
                continue
            self._parts.append((folder, size))
            self._bytes += size
        self._make_room(0)

    def _write(self, evidence: Evidence, frame: Frame, sha256: str) -> None:
        expected = frame.rgb.nbytes + frame.xyz.nbytes + MAPS_BYTES
        if expected > self._max_bytes:
            self._drop(evidence, f"{expected} bytes are more than [kept] max_mb allows")
            return
        self._make_room(expected)
        size = self._write_part(self._folder, evidence, frame, sha256, self._made_on)
        self._parts.append((self._folder / part_name(evidence), size))
        self._bytes += size
        self.kept += 1

    def _make_room(self, wanted: int) -> None:
        while self._parts and self._bytes + wanted > self._max_bytes:
            folder, size = self._parts.popleft()
            self._bytes -= size
            try:
                shutil.rmtree(folder)
            except FileNotFoundError:
                pass  # somebody has removed it
            except OSError as error:
                self._log.error("kept_part_not_removed", folder=str(folder), error=str(error))

    def _drop(self, evidence: Evidence, why: str) -> None:
        self.dropped += 1
        self._log.warning("part_not_kept", seq=evidence.result.seq, detail=why, dropped=self.dropped)

"""The recorder: hashes the frame of each verdict, then passes the verdict on to the ledger and to the archive.

Each verdict comes with its frame as it was received. Nothing is copied: the message's memory is held until this thread
is done with it. Hashing takes 1.4 ms for 400 × 400 pixels (with SHA instructions; without the interpreter's lock),
here and not between a trigger and its verdict.
"""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from cmfm_protocol.wire.frame import Frame
from cmfm_protocol.wire.result import Result
from cmfm_records.archived_part import frame_sha256
from cmfm_worker.line.messages import PartMaps

MAX_PENDING_BYTES: Final = 512 << 20
"""Bytes of frames that may wait for their hash. Beyond it rows are written without one, to bound memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """A verdict with its frame and maps. `frame` is None if it could not be read, `maps` if there are none."""

    result: Result
    frame: Frame | None = None
    maps: PartMaps | None = None
    recipe_sha: str = ""
    batch: int = 1  # parts computed together


class RowSink(Protocol):
    """The side of the ledger that takes rows."""

    def append(self, result: Result, *, frame_sha256: str | None = None, recipe_sha: str = "") -> None:
        """Take a row; must not block."""
        ...


class Recorder:
    """The thread between the verdicts and what is written on disk. It waits for no disk."""

    def __init__(
        self,
        *,
        ledger: RowSink | None,
        keep: Callable[[Evidence, str], None] | None,
        max_pending_bytes: int = MAX_PENDING_BYTES,
    ) -> None:
        self.frames_unhashed = 0
        self.failure: BaseException | None = None
        self._ledger = ledger
        self._keep = keep
        self._max_pending_bytes = max_pending_bytes
        self._pending_bytes = 0
        self._lock = threading.Lock()
        # Not bounded by number: entries without a frame are small and leave at once.
        self._queue: queue.SimpleQueue[Evidence | None] = queue.SimpleQueue()
        self._log = structlog.get_logger("recorder")
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def record(self, evidence: Evidence) -> None:
        """Take a verdict; never blocks."""
        if evidence.frame is not None and not self._reserve(evidence.frame):
            self.frames_unhashed += 1
            self._log.error("frame_not_hashed", seq=evidence.result.seq, detail="too many frames are waiting")
            evidence = Evidence(evidence.result, recipe_sha=evidence.recipe_sha, batch=evidence.batch)
        self._queue.put(evidence)

    def close(self, *, timeout_s: float = 10.0) -> None:
        """Pass on what is pending and end the thread."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    @property
    def running(self) -> bool:
        """Whether verdicts are being recorded."""
        return self._thread.is_alive()

    def _reserve(self, frame: Frame) -> bool:
        with self._lock:
            if self._pending_bytes + _nbytes(frame) > self._max_pending_bytes:
                return False
            self._pending_bytes += _nbytes(frame)
            return True

    def _run(self) -> None:
        try:
            for evidence in iter(self._queue.get, None):
                self._take(evidence)
                del evidence  # or the last frame would be held until the next verdict
        except BaseException as error:  # the service ends: a line must not go on without its records
            self.failure = error
            raise

    def _take(self, evidence: Evidence) -> None:
        frame, sha256 = evidence.frame, None
        if frame is not None:
            sha256 = frame_sha256(frame.rgb, frame.xyz)
            with self._lock:
                self._pending_bytes -= _nbytes(frame)
        if self._ledger is not None:
            self._ledger.append(evidence.result, frame_sha256=sha256, recipe_sha=evidence.recipe_sha)
        if self._keep is not None and sha256 is not None:
            self._keep(evidence, sha256)


def _nbytes(frame: Frame) -> int:
    return frame.rgb.nbytes + frame.xyz.nbytes

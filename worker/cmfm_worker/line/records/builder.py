"""Opens what a line writes to disk: ledger, archive, collected parts, and the recorder before them."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cmfm_protocol.wire.record_requests import AuditRequest
from cmfm_worker.errors import StartupError
from cmfm_worker.line.health.liveness import LineThreads
from cmfm_worker.line.records.archive import Archive
from cmfm_worker.line.records.collector import Collector
from cmfm_worker.line.records.file_lock import SUFFIX, lock
from cmfm_worker.line.records.ledger.items import Done
from cmfm_worker.line.records.ledger.retention import Retention
from cmfm_worker.line.records.ledger.writer import Ledger
from cmfm_worker.line.records.recorder import Evidence, Recorder
from cmfm_worker.settings.model import Settings


@dataclass(frozen=True, slots=True)
class Records:
    """The recorder and the writers that it hands over to, None if the settings turn one off."""

    recorder: Recorder
    ledger: Ledger | None
    archive: Archive | None
    collector: Collector

    def gauges(self) -> dict[str, float]:
        """Return the current values of the records' metrics."""
        return {
            "ledger_rows_lost": self.ledger.rows_lost if self.ledger else 0,
            "ledger_rows_waiting": self.ledger.waiting if self.ledger else 0,
            "frames_unhashed": self.recorder.frames_unhashed,
            "kept_parts_dropped": self.archive.dropped if self.archive else 0,
            "collected_parts_dropped": self.collector.dropped,
        }

    def audit(self, entry: AuditRequest, done: Done) -> None:
        """Have an audit entry written; `done` hears when it is on the disk, or why not. Never blocks."""
        if self.ledger is None:
            done("this line has no ledger ([ledger] path)")
        else:
            self.ledger.audit(entry, done)


def open_records(
    settings: Settings, stack: ExitStack, threads: LineThreads, made_on: Mapping[str, object]
) -> Records:
    """Open the files and start the threads that write. `made_on` is what the archive notes of device and versions.

    Raises StartupError if a file or folder cannot be written, or is another worker's.
    """
    _lock(settings, stack)
    archive = _open_archive(settings, stack, made_on)
    collected = settings.collected
    collector = Collector(collected.folder, max_mb=collected.max_mb, made_on=made_on)
    stack.callback(collector.close)
    ledger = _open_ledger(settings, stack, threads)
    recorder = Recorder(ledger=ledger, keep=_each(archive, collector))
    stack.callback(recorder.close)
    threads.add("recorder", recorder)
    return Records(recorder, ledger, archive, collector)


def _each(archive: Archive | None, collector: Collector) -> Callable[[Evidence, str], None]:
    """Return what offers a part to the archive, if there is one, and to the collector."""

    def keep(evidence: Evidence, sha256: str) -> None:
        if archive is not None:
            archive.keep(evidence, sha256)
        collector.keep(evidence, sha256)

    return keep


def _lock(settings: Settings, stack: ExitStack) -> None:
    """Lock ledger and archive before anything in them is read or changed."""
    path, folder = settings.ledger.path, settings.kept.folder
    if path is not None:
        stack.callback(lock(_made(path.resolve().parent) / (path.resolve().name + SUFFIX), f"ledger {path}"))
    if settings.kept.which != "none":
        stack.callback(lock(_made(folder) / SUFFIX, f"kept folder {folder}"))


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"{folder}: {error}") from error
    return folder


def _open_archive(settings: Settings, stack: ExitStack, made_on: Mapping[str, object]) -> Archive | None:
    kept = settings.kept
    if kept.which == "none":
        return None
    archive = Archive(kept.folder, max_mb=kept.max_mb, which=kept.which, made_on=made_on)
    stack.callback(archive.close)
    return archive


def _open_ledger(settings: Settings, stack: ExitStack, threads: LineThreads) -> Ledger | None:
    section = settings.ledger
    if section.path is None:
        return None
    retention = Retention(section.keep_days, section.max_mb)
    ledger = Ledger(
        section.path, flush_ms=section.flush_ms, retention=retention, journal_rows=section.journal_rows
    )
    stack.callback(ledger.close)
    threads.add("ledger", ledger)
    return ledger

"""Opens what a line writes to disk: the ledger, the archive of rejected parts, and the recorder before them."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cmfm_worker.errors import StartupError
from cmfm_worker.line.health.liveness import LineThreads
from cmfm_worker.line.records.archive import Archive
from cmfm_worker.line.records.file_lock import SUFFIX, lock
from cmfm_worker.line.records.ledger.retention import Retention
from cmfm_worker.line.records.ledger.writer import Ledger
from cmfm_worker.line.records.recorder import Recorder
from cmfm_worker.settings.model import Settings


@dataclass(frozen=True, slots=True)
class Records:
    """The recorder and the writers that it hands over to, each None if the settings turn it off."""

    recorder: Recorder
    ledger: Ledger | None
    archive: Archive | None

    def gauges(self) -> dict[str, float]:
        """Return the current values of the records' metrics."""
        return {
            "ledger_rows_lost": self.ledger.rows_lost if self.ledger else 0,
            "ledger_rows_waiting": self.ledger.waiting if self.ledger else 0,
            "frames_unhashed": self.recorder.frames_unhashed,
            "kept_parts_dropped": self.archive.dropped if self.archive else 0,
        }


def open_records(
    settings: Settings, stack: ExitStack, threads: LineThreads, made_on: Mapping[str, object]
) -> Records:
    """Open the files and start the threads that write. `made_on` is what the archive notes of device and versions.

    Raises StartupError if a file or folder cannot be written, or is another worker's.
    """
    _lock(settings, stack)
    archive = _open_archive(settings, stack, made_on)
    ledger = _open_ledger(settings, stack, threads)
    recorder = Recorder(ledger=ledger, keep=archive.keep if archive else None)
    stack.callback(recorder.close)
    threads.add("recorder", recorder)
    return Records(recorder, ledger, archive)


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

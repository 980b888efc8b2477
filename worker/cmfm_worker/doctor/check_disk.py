"""Disks: room for what a week of this line writes, and how long a write takes to be safe."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cmfm_worker.doctor.findings import Check, Finding, Findings
from cmfm_worker.doctor.line_rate import rate_of
from cmfm_worker.doctor.visit import Visit
from cmfm_worker.settings.model import Settings

CHECK: Final = Check("disk")
MB: Final = 1_000_000
RESERVE_BYTES: Final = 500 * MB
"""Left over on each disk: logs, the ledger's WAL, recipes that are taught."""

ROW_BYTES: Final = 600
"""One row of the ledger with its share of the indexes (8192 MB hold about 14 million rows)."""

PLANNED_S: Final = 7 * 86_400
USUAL_RATE_HZ: Final = 1.0
"""Planned with where the line's rate is not known."""

LEAST_FILES: Final = 10_000
FSYNCS: Final = 10
LOG_FOLDERS: Final = (Path("/var/log/journal"), Path("/var/log"))


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that is written: whose, where, and how many more bytes a week may bring."""

    name: str
    folder: Path
    growth_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Room:
    """A file system: bytes in all and free, files that can still be made, whether it is read-only."""

    total_bytes: int
    free_bytes: int
    free_files: int
    read_only: bool


def check_disk(visit: Visit) -> Findings:
    """Look at every folder that the line writes to."""
    rate_hz, _ = rate_of(visit.settings, visit.options.rate_hz)
    places = places_of(visit.settings, rate_hz)
    found = room_findings(places, room_of, lambda folder: existing(folder).stat().st_dev)
    for place in places:
        if place.name == "ledger":
            found.append(fsync_finding(place.folder, visit.settings.ledger.flush_ms, fsync_ms))
    return found


def places_of(settings: Settings, rate_hz: float | None) -> list[Place]:
    """Return the folders that are written, with what may come within a week."""
    places = []
    if settings.ledger.path is not None:
        size = settings.ledger.path.stat().st_size if settings.ledger.path.is_file() else 0
        week = int((rate_hz or USUAL_RATE_HZ) * PLANNED_S * ROW_BYTES)
        limit = settings.ledger.max_mb * MB
        growth = min(week, max(int(limit) - size, 0)) if limit else week
        places.append(Place("ledger", settings.ledger.path.resolve().parent, growth))
    if settings.kept.which != "none":
        left = int(settings.kept.max_mb * MB) - tree_bytes(settings.kept.folder)
        places.append(Place("kept", settings.kept.folder, max(left, 0)))
    places.append(Place("collected", settings.collected.folder))
    places += [Place("log", folder) for folder in LOG_FOLDERS if folder.is_dir()][:1]
    return places


def room_findings(
    places: Sequence[Place], room: Callable[[Path], Room], device: Callable[[Path], int]
) -> list[Finding]:
    """Compare the room on each file system with what the places on it may still take."""
    disks: dict[int, list[Place]] = {}
    for place in places:
        disks.setdefault(device(place.folder), []).append(place)
    return [finding for on_disk in disks.values() for finding in _disk_findings(on_disk, room)]


def _disk_findings(places: Sequence[Place], room: Callable[[Path], Room]) -> Iterable[Finding]:
    names = ", ".join(place.name for place in places)
    where = f"{existing(places[0].folder)} ({names})"
    found = room(places[0].folder)
    if found.read_only:
        yield CHECK.to_do(
            f"{where}: mounted read-only", "mount it for writing, or set other folders in line.toml"
        )
        return
    if found.free_files < LEAST_FILES:
        yield CHECK.to_do(
            f"{where}: only {found.free_files} more files can be made",
            "delete files that nobody needs (df -i)",
        )
    growth = sum(place.growth_bytes for place in places)
    free = f"{where}: {found.free_bytes / MB:,.0f} of {found.total_bytes / MB:,.0f} MB free"
    expected = ", ".join(
        f"{each.name} {each.growth_bytes / MB:,.0f} MB" for each in places if each.growth_bytes
    )
    plan = f"; a week may bring {expected}" if expected else ""
    if found.free_bytes < growth + RESERVE_BYTES:
        yield CHECK.to_do(
            f"{free}{plan}; {RESERVE_BYTES // MB} MB should stay free",
            "free space, or lower [kept] max_mb and [ledger] max_mb or keep_days",
        )
    else:
        yield CHECK.good(f"{free}{plan}")


def fsync_finding(folder: Path, flush_ms: float, measure: Callable[[Path], list[float]]) -> Finding:
    """Compare how long the disk takes to make a write safe with the ledger's flush interval."""
    if not folder.is_dir():
        return CHECK.note(f"{folder}: not there yet; the worker makes it")
    try:
        times_ms = measure(folder)
    except OSError as error:
        return CHECK.not_checked(f"{folder}: cannot be written by this user ({error})", "run it as root")
    median_ms, worst_ms = statistics.median(times_ms), max(times_ms)
    seen = f"{folder}: a write is safe after {median_ms:.1f} ms (worst of {len(times_ms)}: {worst_ms:.1f} ms)"
    if median_ms > flush_ms:
        return CHECK.to_do(
            f"{seen}; the ledger wants {flush_ms:g} ms",
            "put the ledger on a faster disk, or raise [ledger] flush_ms: a power cut may then cost more rows",
        )
    return CHECK.good(seen)


def fsync_ms(folder: Path) -> list[float]:
    """Write and sync a small file a few times; return the milliseconds of each. Raises OSError."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FSYNCS):
            began_s = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - began_s) * 1e3)
    return times


def room_of(folder: Path) -> Room:
    """Return the room on the file system of a folder, or of the nearest one above it that exists."""
    found = os.statvfs(existing(folder))
    return Room(
        found.f_blocks * found.f_frsize,
        found.f_bavail * found.f_frsize,
        found.f_favail if found.f_files else LEAST_FILES,  # some file systems count no files
        bool(found.f_flag & os.ST_RDONLY),
    )


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next((path for path in (folder, *folder.parents) if path.is_dir()), Path("/"))


def tree_bytes(folder: Path) -> int:
    """Return the bytes of the files under a folder; files that vanish meanwhile count nothing."""
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            try:
                total += (Path(path) / name).stat().st_size
            except FileNotFoundError:
                continue
    return total

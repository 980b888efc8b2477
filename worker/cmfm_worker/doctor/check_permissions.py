"""Permissions: files of the worker's user, secrets that only their owner reads, and the limits of the process."""

import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cmfm_protocol.files.key_files import OTHERS
from cmfm_worker.doctor.check_disk import existing
from cmfm_worker.doctor.findings import Check, Finding, Findings
from cmfm_worker.doctor.processes import limits_of, niceness, user_of
from cmfm_worker.doctor.visit import Visit
from cmfm_worker.errors import InputError
from cmfm_worker.line.compute.device import choose_device
from cmfm_worker.line.health.descriptors import needed
from cmfm_worker.line.intake.ring import BYTES_PER_PIXEL
from cmfm_worker.settings.model import Settings

CHECK: Final = Check("permissions")
OPEN_AT_START: Final = 40
"""Descriptors that a worker has open before it counts them."""

SECRETS: Final = frozenset(
    {"secret_key", "private_key", "key_file", "key", "password_file", "users", "secret"}
)
"""Keys of settings that name a file which only its owner may read."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The user under whom the worker runs, and how that is known."""

    uid: int
    groups: frozenset[int]
    words: str


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """Limits of the worker's process (None: unlimited), its niceness, and whose they are."""

    open_files: int | None
    locked_memory: int | None
    nice: int
    words: str


def check_permissions(visit: Visit) -> Findings:
    """Look at folders, secrets and limits."""
    found = folder_findings(written_folders(visit.settings), identity_of(visit))
    secrets = [*secret_files(visit.settings.model_dump(mode="json"))]
    for other in visit.others:
        secrets += secret_files(other.values)
    found += secret_findings(secrets)
    return [*found, *limit_findings(visit.settings, process_limits(visit), cuda=_on_cuda(visit.settings))]


def identity_of(visit: Visit) -> Identity:
    """Return the worker's user: that of the running worker, of its unit, or of this shell."""
    pid = visit.worker.pid if visit.worker else None
    if pid is not None:
        return _identity(user_of(pid)[0], "user of the running worker")
    if visit.unit is not None and visit.unit.user:
        try:
            uid = pwd.getpwnam(visit.unit.user).pw_uid
        except KeyError as error:
            raise InputError(
                f"the unit {visit.unit.name} names the user {visit.unit.user}, who does not exist"
            ) from error
        return _identity(uid, f"user of {visit.unit.name}")
    return _identity(os.getuid(), "this shell's user")


def _identity(uid: int, whose: str) -> Identity:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Identity(uid, frozenset(), f"uid {uid}, {whose}")
    groups = frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return Identity(uid, groups, f"{entry.pw_name}, {whose}")


def written_folders(settings: Settings) -> dict[str, Path]:
    """Return the folders that the worker writes to, by their settings."""
    folders = {}
    if settings.ledger.path is not None:
        folders["[ledger] path"] = settings.ledger.path.resolve().parent
    if settings.kept.which != "none":
        folders["[kept] folder"] = settings.kept.folder
    folders["[collected] folder"] = settings.collected.folder
    return folders


def folder_findings(folders: Mapping[str, Path], who: Identity) -> list[Finding]:
    """Tell whether the worker's user may write each folder, or make it."""
    refused = [
        (key, folder) for key, folder in folders.items() if not may_write(existing(folder).stat(), who)
    ]
    if not refused:
        return (
            [CHECK.good(f"{', '.join(folders) or 'no folder'}: can be written ({who.words})")]
            if folders
            else []
        )
    return [
        CHECK.to_do(
            f"{key} = {folder}: cannot be written ({who.words})",
            f"chown -R the folder {existing(folder)} to that user, or set another one",
        )
        for key, folder in refused
    ]


def may_write(status: os.stat_result, who: Identity) -> bool:
    """Tell by owner, group and mode whether a user may make files in a folder."""
    if who.uid == 0:
        return True
    if status.st_uid == who.uid:
        wanted = stat.S_IWUSR | stat.S_IXUSR
    elif status.st_gid in who.groups:
        wanted = stat.S_IWGRP | stat.S_IXGRP
    else:
        wanted = stat.S_IWOTH | stat.S_IXOTH
    return status.st_mode & wanted == wanted


def secret_files(tables: Mapping[str, Mapping[str, Any]]) -> Iterator[Path]:
    """Yield the files that settings name as secret (section → key → value)."""
    for values in tables.values():
        for key, value in values.items():
            if key in SECRETS and isinstance(value, str) and value:
                yield Path(value)


def secret_findings(files: list[Path]) -> list[Finding]:
    """Tell whether others than their owner can reach the secret files."""
    found = []
    for path in files:
        if not path.exists():
            continue  # made at the first start, or named as missing by the settings
        mode = path.stat().st_mode
        if mode & OTHERS:
            found.append(
                CHECK.to_do(
                    f"{path}: a secret with mode {stat.S_IMODE(mode):04o}: others than its owner can reach it",
                    f"chmod 600 {path}, and make a new one if others may have read it",
                )
            )
    there = [path for path in files if path.exists()]
    if there and not found:
        found.append(CHECK.good(f"{len(there)} secret files can be reached by their owners alone"))
    return found


def process_limits(visit: Visit) -> ProcessLimits:
    """Return the limits of the running worker, of its unit, or of this shell."""
    pid = visit.worker.pid if visit.worker else None
    if pid is None and visit.unit is not None:
        unit = visit.unit
        return ProcessLimits(unit.open_files, unit.locked_memory, unit.nice, f"unit {unit.name}")
    limits = limits_of(pid or "self")
    whose = f"running worker, pid {pid}" if pid else "this shell; a service may have others"
    return ProcessLimits(
        limits["Max open files"][1], limits["Max locked memory"][0], niceness(pid or os.getpid()), whose
    )


def limit_findings(settings: Settings, limits: ProcessLimits, *, cuda: bool) -> list[Finding]:
    """Compare open files, locked memory and niceness with what the line needs."""
    found = []
    files = needed(settings, OPEN_AT_START)
    if limits.open_files is not None and limits.open_files < files:
        found.append(
            CHECK.to_do(
                f"{limits.open_files} open files are allowed, {files} may be needed ({limits.words})",
                "raise LimitNOFILE in the unit (or ulimit -n), or lower [sockets] clients",
            )
        )
    locked = settings.ring.slots * settings.ring.max_pixels * BYTES_PER_PIXEL
    if cuda and limits.locked_memory is not None and limits.locked_memory < locked:
        found.append(
            CHECK.to_do(
                f"{limits.locked_memory / 1e6:.0f} MB of locked memory are allowed, the ring takes {locked / 1e6:.0f} "
                f"MB ({limits.words})",
                "set LimitMEMLOCK=infinity in the unit",
            )
        )
    if limits.nice > 0:
        found.append(
            CHECK.to_do(
                f"niceness {limits.nice}: other programs go before the line ({limits.words})",
                "start the worker with niceness 0",
            )
        )
    memory = "locked memory, " if cuda else ""
    return found or [CHECK.good(f"open files ({files} needed), {memory}niceness: enough ({limits.words})")]


def _on_cuda(settings: Settings) -> bool:
    try:
        return choose_device(settings.device.name).type == "cuda"
    except InputError:
        return False

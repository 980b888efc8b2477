"""The input of every check: the settings, the options, and the worker if one runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cmfm_client.curve import ClientKeys
from cmfm_client.errors import ClientError
from cmfm_client.requests import RequestClient
from cmfm_protocol.files.key_files import KeyFileError, read_pair
from cmfm_protocol.wire.state import WorkerState
from cmfm_worker.doctor.addresses import reachable
from cmfm_worker.doctor.processes import LockHolder, lock_holder
from cmfm_worker.doctor.systemd_unit import Unit
from cmfm_worker.line.records.file_lock import SUFFIX
from cmfm_worker.settings.model import Settings

REPLY_S: Final = 2.0
"""Time in which a worker replies; it does so between two verdicts."""

NO_KEY: Final = "the line encrypts; give --key NAME.key_secret of a client that may use control"


@dataclass(frozen=True, slots=True)
class Options:
    """The person's options: the line's rate in parts a second, seconds to listen to cameras, a client's key."""

    rate_hz: float | None = None
    listen_s: float = 3.0
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A worker of this line that runs: who holds its lock, and its state or why that is not known.

    `silent`: it was asked and did not reply.
    """

    holder: LockHolder | None
    state: WorkerState | None
    why_no_state: str = ""
    silent: bool = False

    @property
    def pid(self) -> int | None:
        """Its process on this host, if that is known."""
        return self.holder.pid if self.holder else None


@dataclass(frozen=True, slots=True)
class OtherProgram:
    """Gateway or page: its settings as section → key → value, and the problems that its own `check` found."""

    program: str
    config: Path
    values: Mapping[str, Mapping[str, Any]]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Visit:
    """One examination of one line."""

    config: Path
    settings: Settings
    options: Options
    worker: RunningWorker | None = None
    others: tuple[OtherProgram, ...] = ()
    unit: Unit | None = None

    def other(self, program: str) -> OtherProgram | None:
        """Return gateway or page, by the name of its program."""
        return next((each for each in self.others if each.program == program), None)


def find_worker(settings: Settings, key: Path | None) -> RunningWorker | None:
    """Return the worker of this line if one runs: it holds the lock of its ledger or archive, or it replies."""
    holder = next((found for path in lock_files(settings) if (found := lock_holder(path))), None)
    try:
        keys = _keys(settings, key)
    except KeyFileError as error:
        return RunningWorker(holder, None, str(error)) if holder else None
    if settings.curve.secret_key is not None and keys is None:
        return RunningWorker(holder, None, NO_KEY) if holder else None
    state, why = _ask(settings, keys)
    return RunningWorker(holder, state, why, silent=state is None) if holder or state else None


def lock_files(settings: Settings) -> list[Path]:
    """Return the files that a worker of these settings locks."""
    files = []
    if settings.ledger.path is not None:
        path = settings.ledger.path.resolve()
        files.append(path.with_name(path.name + SUFFIX))
    if settings.kept.which != "none":
        files.append(settings.kept.folder / SUFFIX)
    return files


def _ask(settings: Settings, keys: ClientKeys | None) -> tuple[WorkerState | None, str]:
    """Ask for the worker's state; returns it, or why it is not known."""
    try:
        with RequestClient(reachable(settings.sockets.control), keys=keys, timeout_s=REPLY_S) as client:
            return client.status(), ""
    except ClientError as error:
        return None, str(error)


def _keys(settings: Settings, key: Path | None) -> ClientKeys | None:
    """Return the keys of a client of this worker. Raises KeyFileError."""
    if key is None or settings.curve.secret_key is None:
        return None
    return ClientKeys(read_pair(key), read_pair(settings.curve.secret_key).public)

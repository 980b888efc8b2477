"""The bundle for support: report, settings, recipes, the ledger's newest rows, logs and versions in one zip.

Secrets are not packed: key, password and user files are left out, and their texts are removed wherever they stand.
"""

import csv
import io
import json
import os
import platform
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final, NamedTuple

import zmq

from cmfm_records.audit import AUDIT_COLUMNS
from cmfm_records.export import FIELDS
from cmfm_records.ledger import Question, open_ledger
from cmfm_settings.explain import as_json
from cmfm_worker.doctor.check_permissions import secret_files
from cmfm_worker.doctor.secrets import (
    REMOVED,
    Scrubber,
    is_password,
    passwords_in,
    passwords_in_file,
    texts_in_file,
)
from cmfm_worker.doctor.systemd_unit import RunText, run_text
from cmfm_worker.doctor.visit import Visit
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.recipe import RECIPE_FILE
from cmfm_worker.settings.load import load_with_sources

LEDGER_ROWS: Final = 1000
JOURNAL_LINES: Final = 20_000
LOG_BYTES: Final = 5_000_000
UNITS: Final = ("cmfm-worker", "cmfm-gateway", "cmfm-hmi")
MODE: Final = 0o600


class Member(NamedTuple):
    """One file of the zip."""

    name: str
    text: str


Pack = Callable[[], Iterable[Member]]


def write_bundle(
    path: Path,
    visit: Visit,
    report: Mapping[str, str],
    *,
    log: Path | None = None,
    run: RunText = run_text,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Write the zip; `report` maps file names to the report's texts. It appears complete, for its owner alone.

    A part that cannot be packed is named in `missing.txt`. Raises InputError if the zip cannot be written.
    """
    scrubber = Scrubber(secrets_of(visit, environment))
    packs: dict[str, Pack] = {
        "report": lambda: (Member(name, text) for name, text in report.items()),
        "settings": lambda: _settings(visit),
        "recipes": lambda: _recipes(visit.settings.recipes.folder),
        "ledger": lambda: _ledger(visit.settings.ledger.path),
        "logs": lambda: _logs(visit, log, run),
        "versions": lambda: [Member("versions.json", _json(versions()))],
        "machine": lambda: [Member("machine.json", _json(machine()))],
    }
    try:
        descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent or Path())
        try:
            with (
                os.fdopen(descriptor, "wb") as file,
                zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
            ):
                for member in _members(packs):
                    archive.writestr(member.name, scrubber.clean(member.text))
            Path(scratch).chmod(MODE)
            Path(scratch).replace(path)
        finally:
            Path(scratch).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


def _members(packs: Mapping[str, Pack]) -> Iterator[Member]:
    missing = []
    for what, pack in packs.items():
        try:
            yield from list(pack())
        except Exception as error:  # noqa: BLE001 (support can use the rest)
            missing.append(f"{what}: {type(error).__name__}: {error}")
    if missing:
        yield Member("missing.txt", "\n".join(missing) + "\n")


def secrets_of(visit: Visit, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield every text that is secret: of the files that settings name as secret, and passwords in settings."""
    files = [*secret_files(visit.settings.model_dump(mode="json"))]
    for other in visit.others:
        files += secret_files(other.values)
        yield from passwords_in_file(other.config)
    for file in files:
        yield from texts_in_file(file)
    yield from passwords_in(environment)
    if visit.unit is not None:
        yield from passwords_in(visit.unit.environment)


def _settings(visit: Visit) -> Iterator[Member]:
    yield Member("settings/line.json", _json(without_passwords(as_json(load_with_sources(visit.config)))))
    for other in visit.others:
        yield Member(f"settings/{other.program}.json", _json(without_passwords(other.values)))


def without_passwords(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table of settings whose passwords are replaced."""
    return {
        key: (
            REMOVED
            if is_password(key) and value
            else without_passwords(value)
            if isinstance(value, Mapping)
            else value
        )
        for key, value in table.items()
    }


def _recipes(folder: Path) -> Iterator[Member]:
    for path in sorted(folder.glob(f"*/{RECIPE_FILE}")):
        yield Member(
            f"recipes/{path.parent.name}/{RECIPE_FILE}", path.read_text(encoding="utf-8", errors="replace")
        )


def _ledger(path: Path | None) -> Iterator[Member]:
    """Pack the newest rows and the newest changes of the trace as CSV, and what all rows add up to."""
    if path is None:
        return
    with open_ledger(path) as reader:
        rows = list(reader.rows(Question(limit=LEDGER_ROWS)))
        since_ns = int(str(rows[0]["done_ns"])) if rows else None
        totals = reader.totals(Question(since_ns=since_ns))
        changes = [asdict(entry) for entry in reader.audit(limit=LEDGER_ROWS)]
    yield Member("ledger/rows.csv", _csv(FIELDS, rows))
    yield Member("ledger/audit.csv", _csv(AUDIT_COLUMNS, changes))
    yield Member("ledger/totals.txt", "\n".join((totals.sentence(), *totals.remarks())) + "\n")


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _logs(visit: Visit, log: Path | None, run: RunText) -> Iterator[Member]:
    """Pack the log file that was given, and the journals of our units as far as systemd has any."""
    if log is not None:
        yield Member(f"logs/{log.name}", _tail(log))
    for unit in dict.fromkeys(((visit.unit.name if visit.unit else UNITS[0]), *UNITS)):
        command = ["journalctl", "--no-pager", "--output=short-iso-precise", f"--lines={JOURNAL_LINES}"]
        text = run([*command, f"--unit={unit}"])
        if text and not text.startswith("-- No entries --"):
            yield Member(f"logs/{unit}.journal.txt", text)


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - LOG_BYTES, 0))
        return file.read().decode("utf-8", "replace")


def versions() -> dict[str, Any]:
    """Return the versions of Python, of libzmq and of every installed package."""
    packages = {each.metadata["Name"]: each.version for each in distributions()}
    return {
        "python": sys.version,
        "libzmq": zmq.zmq_version(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def machine() -> dict[str, Any]:
    """Return facts about this machine: system, cores, load."""
    return {
        "system": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "cores_allowed": len(os.sched_getaffinity(0)),
        "load": os.getloadavg(),
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

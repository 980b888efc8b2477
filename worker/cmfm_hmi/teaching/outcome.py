"""A taught recipe that waits to be used: the report that `cmfm-worker teach` left beside it, as the page shows it."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cmfm_settings.errors import InputError
from cmfm_settings.names import is_name

TAUGHT: Final = ".taught"
REPORT: Final = "report"
PICTURE: Final = re.compile(r"good-\d+-[\w.-]+\.png")
CHANGED_PARTS: Final = 30
"""Previewed parts with another verdict that are shown."""

MAX_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """The files that teaching left. `mark` changes with each teaching.

    `rates` are thresholds with what they cost and catch, `worst` the nominal parts to look at with their pictures,
    `preview` the counts, `changed` the previewed parts with another verdict, `remarks` sentences of the worker.
    """

    mark: str
    taught_ns: int
    parts: int
    fail_at: float
    rates: list[dict[str, Any]]
    worst: list[dict[str, Any]]
    preview: dict[str, Any]
    changed: list[dict[str, Any]]
    remarks: list[str]


def report_folder(recipes: Path, name: str) -> Path:
    """Return the report's folder of a taught recipe, which need not exist. Raises InputError unless it is a name."""
    if not is_name(name):
        raise InputError(f"{name[:60]!r} is not a recipe's name")
    return recipes / TAUGHT / name / REPORT


def mark_of(recipes: Path, name: str) -> str:
    """Return a mark that changes with each teaching; "" if nothing was taught."""
    try:
        return f"{(report_folder(recipes, name) / 'preview.json').stat().st_mtime_ns:x}"
    except OSError:
        return ""


def read_outcome(recipes: Path, name: str) -> Outcome | None:
    """Read the report of a taught recipe; None if nothing was taught. Raises InputError if it is not a report."""
    folder, mark = report_folder(recipes, name), mark_of(recipes, name)
    if not mark:
        return None
    report, preview = _json(folder / "report.json"), _json(folder / "preview.json")
    try:
        changed = [part for part in preview["parts"] if part["seen"] == "new" and _differs(part)]
        return Outcome(
            mark=mark,
            taught_ns=int(mark, 16),
            parts=len(preview["taught_from"]),
            fail_at=float(report["threshold"]["fail_at"]),
            rates=list(report["rates"]),
            worst=[part for part in report["look_at"] if PICTURE.fullmatch(part["picture"])],
            preview={key: preview[key] for key in ("counts", "changed", "bad")},
            changed=changed[:CHANGED_PARTS],
            remarks=[str(line) for line in preview["remarks"]],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder}: is not the report of a taught recipe ({error!r})") from error


def _differs(part: dict[str, Any]) -> bool:
    return bool(part["verdict"] != part["new_verdict"] or part["use"] == "bad")


def _json(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than any report")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error

"""Findings of a grade: one a case, and the text for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a case ended."""

    PASSED = "pass"
    FAILED = "FAIL"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Finding:
    """One case: its name, what is demanded, how it ended and what was seen."""

    name: str
    demand: str
    outcome: Outcome
    seen: str


class FailedError(Exception):
    """A case failed; the message says what was seen."""


class NotTriedError(Exception):
    """A case could not be tried; the message says what was missing."""


def report(findings: Sequence[Finding]) -> str:
    """Return the report: a paragraph a case, then the count."""
    lines = []
    for finding in findings:
        lines += [f"{finding.outcome:>9}  {finding.name}: {finding.demand}", f"           {finding.seen}"]
    counts = {outcome: sum(finding.outcome is outcome for finding in findings) for outcome in Outcome}
    lines.append("")
    lines.append(
        ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) + f" of {len(findings)}"
    )
    return "\n".join(lines) + "\n"


def is_good(findings: Sequence[Finding]) -> bool:
    """True if every case was tried and passed."""
    return bool(findings) and all(finding.outcome is Outcome.PASSED for finding in findings)

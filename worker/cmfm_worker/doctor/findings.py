"""Findings: the outcome of each look, what was seen, and what to do."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a look ended. A note needs no action."""

    GOOD = "good"
    NOTE = "note"
    NOT_CHECKED = "not checked"
    TO_DO = "TO DO"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: the check, how it ended, what was seen, and what to do about it."""

    check: str
    outcome: Outcome
    seen: str
    do: str = ""


Findings = list[Finding]


@dataclass(frozen=True, slots=True)
class Check:
    """Makes the findings of one check."""

    name: str

    def good(self, seen: str) -> Finding:
        """All is well."""
        return Finding(self.name, Outcome.GOOD, seen)

    def note(self, seen: str, do: str = "") -> Finding:
        """Worth knowing, and nothing has to be done."""
        return Finding(self.name, Outcome.NOTE, seen, do)

    def not_checked(self, seen: str, do: str) -> Finding:
        """It could not be looked at."""
        return Finding(self.name, Outcome.NOT_CHECKED, seen, do)

    def to_do(self, seen: str, do: str) -> Finding:
        """Something has to be done before the shift."""
        return Finding(self.name, Outcome.TO_DO, seen, do)


REPORT_IT = "look at what the message names; otherwise save a --bundle and tell the integrator"


def guarded(check: Check, look: Callable[[], Findings]) -> Findings:
    """Return the findings of `look`. An error in it is a finding as well."""
    try:
        return look()
    except PermissionError as error:
        return [check.not_checked(f"not allowed: {error}", "run it as root, or as the user of the worker")]
    except Exception as error:  # noqa: BLE001 (one check that fails must not hide the others)
        return [check.to_do(f"this check failed: {type(error).__name__}: {error}", REPORT_IT)]


def all_well(findings: Sequence[Finding]) -> bool:
    """True if everything was looked at and nothing has to be done."""
    return bool(findings) and not any(
        finding.outcome in (Outcome.TO_DO, Outcome.NOT_CHECKED) for finding in findings
    )


def summary(findings: Sequence[Finding]) -> str:
    """Return the counts and the conclusion in one line."""
    counts = Counter(finding.outcome for finding in findings)
    listed = ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome)
    if counts[Outcome.TO_DO]:
        return f"{listed}: do what the lines TO DO say, then run doctor again"
    if counts[Outcome.NOT_CHECKED]:
        return f"{listed}: nothing is known to be wrong, and not everything could be looked at"
    return f"{listed}: the shift can start"

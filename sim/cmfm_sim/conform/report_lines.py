"""Lines of a conformance report, and a log that gathers them for one check."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Level(StrEnum):
    """Outcome of a line: it follows WIRE.md, it does not, or it is allowed and worth knowing."""

    PASS = "pass"  # noqa: S105 (an outcome)
    FAIL = "fail"
    REMARK = "remark"


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One line: the check, its outcome, what was found, what to do, and the section of WIRE.md."""

    check: str
    level: Level
    found: str
    do: str = ""
    section: str = ""


@dataclass(slots=True)
class _Finding:
    level: Level
    do: str
    count: int = 0
    first: str = ""


class CheckLog:
    """Gathers the findings of one check: equal ones are counted, and the first is shown as the example."""

    def __init__(self, check: str, section: str) -> None:
        self._check = check
        self._section = section
        self._findings: dict[str, _Finding] = {}

    def fail(self, what: str, do: str, first: str = "") -> None:
        """Note a violation; `first` names the message in which it was seen."""
        self._note(Level.FAIL, what, do, first)

    def remark(self, what: str, do: str = "", first: str = "") -> None:
        """Note something that is allowed and worth knowing."""
        self._note(Level.REMARK, what, do, first)

    @property
    def failed(self) -> bool:
        """True if a violation was noted."""
        return any(finding.level is Level.FAIL for finding in self._findings.values())

    def lines(self, passed: str = "") -> list[ReportLine]:
        """One line a finding, violations first; without a violation a first line that says `passed`, if given."""
        ordered = sorted(self._findings.items(), key=lambda item: item[1].level is not Level.FAIL)
        lines = [
            ReportLine(self._check, finding.level, what + _counted(finding), finding.do, self._section)
            for what, finding in ordered
        ]
        if passed and not self.failed:
            lines.insert(0, ReportLine(self._check, Level.PASS, passed, "", self._section))
        return lines

    def _note(self, level: Level, what: str, do: str, first: str) -> None:
        finding = self._findings.setdefault(what, _Finding(level, do, first=first))
        finding.count += 1


SHOWN: Final = 5
"""Values that one line names."""


def some(values: Sequence[object]) -> str:
    """The first values, as text."""
    shown = ", ".join(map(str, values[:SHOWN]))
    return f"{shown}, …" if len(values) > SHOWN else shown


def _counted(finding: _Finding) -> str:
    if finding.count > 1:
        return f" ({finding.count} times{f', first {finding.first}' if finding.first else ''})"
    return f" ({finding.first})" if finding.first else ""

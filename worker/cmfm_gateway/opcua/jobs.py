"""Which job each result came in: a file with a line for each change, so that results keep their job over restarts."""

import json
from bisect import bisect_right
from dataclasses import asdict
from pathlib import Path
from typing import Final

import structlog

from cmfm_gateway.opcua.machine import Job

KEPT: Final = 10_000
"""Newest changes that are kept when the file is read."""


class JobLog:
    """Changes by the number of the first result that they apply to.

    The file is written line by line. A line that a kill has cut is left out; results then have no job.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._firsts: list[int] = []
        self._jobs: list[Job | None] = []
        self._log = structlog.get_logger("opcua")
        for line in self._read():
            self._take(line)
        self._rewrite()

    def change(self, first: int, job: Job | None) -> None:
        """Note that results from number `first` on belong to `job`, or to none."""
        if not self._append(first, job):
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line(first, job))
        except OSError as error:
            self._log.warning("opcua_jobs_not_written", file=str(self._path), error=str(error))

    def job_of(self, number: int) -> Job | None:
        """Return the job of a result."""
        at = bisect_right(self._firsts, number)
        return self._jobs[at - 1] if at else None

    def _append(self, first: int, job: Job | None) -> bool:
        if self._jobs and self._jobs[-1] == job:
            return False
        if (
            self._firsts and self._firsts[-1] >= first
        ):  # two changes between two results: the later one counts
            self._firsts.pop()
            self._jobs.pop()
        self._firsts.append(first)
        self._jobs.append(job)
        return True

    def _read(self) -> list[str]:
        try:
            return self._path.read_text(encoding="utf-8", errors="replace").splitlines()[-KEPT:]
        except OSError:
            return []

    def _take(self, line: str) -> None:
        try:
            entry = json.loads(line)
            job = Job(**{key: str(value) for key, value in entry["job"].items()}) if entry["job"] else None
            self._append(int(entry["first"]), job)
        except (ValueError, TypeError, KeyError, AttributeError):
            self._log.warning("opcua_jobs_line_skipped", file=str(self._path), line=line[:100])

    def _rewrite(self) -> None:
        new = self._path.with_name(self._path.name + ".new")
        try:
            lines = [_line(first, job) for first, job in zip(self._firsts, self._jobs, strict=True)]
            new.write_text("".join(lines), encoding="utf-8")
            new.replace(self._path)
        except OSError as error:
            self._log.warning("opcua_jobs_not_written", file=str(self._path), error=str(error))


def _line(first: int, job: Job | None) -> str:
    return json.dumps({"first": first, "job": asdict(job) if job else None}) + "\n"

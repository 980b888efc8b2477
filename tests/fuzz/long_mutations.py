"""Ten million seeded mutations of valid messages, through every decoder.

Met, when each was refused with the protocol's own error or is a value that we would send ourselves, none took longer
than a second, and no damage of a sealed frame was taken for the frame. Chunks are independent: a run can be stopped
and taken up again (--resume), spread over processes (--jobs), and any one chunk run alone (--chunk).

    python -m tests.fuzz.long_mutations --json mutations.json
    python -m tests.fuzz.long_mutations --resume --json mutations.json
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.system.load.process import end_in_order_on_sigterm
from tests.system.load.report import Report, say

from .mutations import mutate
from .targets import FindingError, Outcome, content, golden_targets, judge, made_targets

SLOW_SHARE: Final = 0.005
"""Of the mutations, of messages that cost a hundred times as much: a map message, a picture file."""

SLOW_S: Final = 1.0
"""A decoder that takes longer on one message holds up a line."""

CHUNK_LIMIT_S: Final = 900.0
"""A chunk that has not ended by then hangs in one of its messages."""


@dataclass(slots=True)
class Found:
    """Result of a chunk or of a whole run: outcomes by target, and findings as (chunk, round, what)."""

    mutations: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest_ms: float = 0.0
    slowest: str = ""
    findings: list[str] = field(default_factory=list)

    def add(self, other: "Found") -> None:
        """Fold in the next chunk."""
        self.mutations += other.mutations
        self.outcomes += other.outcomes
        if other.slowest_ms > self.slowest_ms:
            self.slowest_ms, self.slowest = other.slowest_ms, other.slowest
        self.findings += other.findings

    def values(self) -> dict[str, Any]:
        """For the report."""
        return {
            "mutations": self.mutations,
            "outcomes": dict(sorted(self.outcomes.items())),
            "slowest_ms": round(self.slowest_ms, 2),
            "slowest": self.slowest,
            "findings": self.findings,
        }

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Found":
        """From a report."""
        names = ("mutations", "slowest_ms", "slowest", "findings")
        return cls(**{name: values[name] for name in names}, outcomes=Counter(values["outcomes"]))


def run_chunk(seed: int, chunk: int, size: int) -> Found:
    """`size` mutations; the same for the same numbers, whoever runs them."""
    rng = random.Random(f"{seed}/{chunk}")
    quick, slow = golden_targets(), made_targets()
    originals = {target.name: content(target.decoder.decode(target.message)) for target in quick + slow}
    found = Found()
    for round_ in range(size):
        target = rng.choice(slow if rng.random() < SLOW_SHARE else quick)
        frames = mutate(rng, target.message)
        started_s = time.thread_time()  # of the processor: others on the machine do not make a decoder slow
        try:
            became = judge(target, originals[target.name], frames)
            found.outcomes[f"{target.name}: {became.value}"] += 1
            if became is Outcome.OTHER and target.sealed:
                found.outcomes["seal and its announcement both lost"] += 1
        except FindingError as error:
            shown = [frame.hex() for frame in frames] if sum(map(len, frames)) < 5000 else "long"
            found.findings.append(f"chunk {chunk}, round {round_}, {target.name}: {error}; {shown}")
        took_ms = (time.thread_time() - started_s) * 1e3
        if took_ms > found.slowest_ms:
            found.slowest_ms, found.slowest = took_ms, f"chunk {chunk}, round {round_}, {target.name}"
        found.mutations += 1
    return found


def in_order(settings: argparse.Namespace, first: int, last: int) -> Iterator[Found]:
    """Chunks `first` to `last` (without it), in their order, a few ahead at a time."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(settings.jobs, mp_context=context) as pool:
        ahead: deque[tuple[int, concurrent.futures.Future[Found]]] = deque()
        following = first
        while ahead or following < last:
            while following < last and len(ahead) < 2 * settings.jobs:
                future = pool.submit(run_chunk, settings.seed, following, settings.chunk_size)
                ahead.append((following, future))
                following += 1
            chunk, future = ahead.popleft()
            yield _result(chunk, future)


def _result(chunk: int, future: "concurrent.futures.Future[Found]") -> Found:
    """Return the result of a chunk. A process that died or hangs is a finding of its own."""
    try:
        return future.result(CHUNK_LIMIT_S)
    except concurrent.futures.BrokenExecutor as error:
        return Found(findings=[f"chunk {chunk}: the process died: {error!r}"])
    except TimeoutError:
        return Found(findings=[f"chunk {chunk}: hangs"])


def problems_of(found: Found, wanted: int) -> list[str]:
    """Which figure is not met."""
    problems = list(found.findings)
    if found.slowest_ms > SLOW_S * 1e3:
        problems.append(f"{found.slowest} took {found.slowest_ms:.0f} ms")
    if found.mutations < wanted:
        problems.append(f"{found.mutations} of {wanted} mutations were made")
    return problems


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutations", type=int, default=10_000_000)
    parser.add_argument("--chunk-size", type=int, default=20_000)
    parser.add_argument("--chunk", type=int, help="run this chunk alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--resume", action="store_true", help="take up the run whose figures are in --json")
    parser.add_argument("--json", type=Path, metavar="FILE")
    settings = parser.parse_args()
    if settings.chunk is not None:
        found = run_chunk(settings.seed, settings.chunk, settings.chunk_size)
        print(json.dumps(found.values(), indent=1))
        return 1 if found.findings else 0
    found, first, spent_s = Found(), 0, 0.0
    if settings.resume:
        before = json.loads(settings.json.read_text(encoding="utf-8"))
        for name in ("seed", "chunk_size"):
            if before["settings"][name] != getattr(settings, name):
                parser.error(f"--resume: {settings.json} was made with --{name} {before['settings'][name]}")
        found, first, spent_s = Found.of(before), before["next_chunk"], before["spent_s"]
    return run(settings, found, first, spent_s)


def run(settings: argparse.Namespace, found: Found, first: int, spent_s: float) -> int:
    """All chunks from `first` on. Returns the exit code."""
    report = Report("decoder mutations", settings)
    report.write(**found.values(), next_chunk=first, spent_s=spent_s)  # also where nothing is left to do
    chunks = -(-settings.mutations // settings.chunk_size)
    started_s = time.monotonic()
    for chunk, made in enumerate(in_order(settings, first, chunks), start=first):
        found.add(made)
        total_s = round(spent_s + time.monotonic() - started_s, 1)
        report.write(**found.values(), next_chunk=chunk + 1, spent_s=total_s)
        if chunk % 10 == 9 or chunk + 1 == chunks:
            say(f"{found.mutations} mutations, {len(found.findings)} findings, {total_s:.0f} s")
        if any("died" in finding or "hangs" in finding for finding in made.findings):
            break
    return report.finish(problems_of(found, chunks * settings.chunk_size))


if __name__ == "__main__":
    end_in_order_on_sigterm()
    sys.exit(main())

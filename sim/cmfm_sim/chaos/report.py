"""Report of a chaos run: the account, the dead peers and the problems, for people and for programs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cmfm_protocol.wire.verdict import Verdict
from cmfm_sim.chaos.connected import connected_spans
from cmfm_sim.chaos.guests import healing_ms, not_healed, scene_problems, scenes_of
from cmfm_sim.chaos.line import ChaosLine
from cmfm_sim.chaos.peers import Report, read_events, reports, spread_of
from cmfm_sim.chaos.plan import ChaosPlan
from cmfm_sim.chaos.run import Course
from cmfm_sim.chaos.tally import Tally, tally_of
from cmfm_sim.spread import Spread

DEAD_PEER_MS: Final = 1000.0
"""Time within which a dead peer must be reported."""


@dataclass(frozen=True, slots=True)
class ChaosReport:
    """A run's figures. `problems` is empty if every promise holds."""

    plan: ChaosPlan
    course: Course
    tally: Tally
    deaths: tuple[Report, ...]
    disk: str
    scenes: Mapping[str, int]
    scenes_judged: int
    healing_ms: tuple[float, ...]
    problems: tuple[str, ...]


def report_of(
    plan: ChaosPlan, line: ChaosLine, course: Course, *, dead_peer_ms: float = DEAD_PEER_MS
) -> ChaosReport:
    """Read the files of a run and check them. Raises InputError or RecordError for a file that cannot be read."""
    heard = read_events(line.events)
    connected = connected_spans(course.done, heard, line.camera_endpoint)
    scenes = scenes_of(course)
    rough = [scene.stream_uuid for scene in scenes]
    tally = tally_of(line.trigger_files, course.killed_cameras, line.ledger, line.record, connected, rough)
    deaths = tuple(reports(course.done, heard, line.camera_endpoint))
    late = [death for death in deaths if death.after_ms is None or death.after_ms > dead_peer_ms]
    problems = [*course.problems, *tally.problems(), *not_healed(course.done, heard, line.camera_endpoint)]
    of_scenes, judged = scene_problems(course, scenes, line.ledger, line.worker_logs, course.ended_ns)
    problems += of_scenes
    problems += [f"{death.kind}: reported {_after(death)}, not within {dead_peer_ms:g} ms" for death in late]
    if not tally.triggers:
        problems.append("no trigger was fired: the run shows nothing")
    played = Counter(scene.name for scene in scenes)
    healing = tuple(healing_ms(course.done, heard, line.camera_endpoint))
    return ChaosReport(plan, course, tally, deaths, line.disk.how, played, judged, healing, tuple(problems))


def report_map(report: ChaosReport) -> dict[str, Any]:
    """The figures for a program: plain JSON types."""
    tally, course = report.tally, report.course
    spread = spread_of(report.deaths)
    return {
        "seed": report.plan.seed,
        "seconds": round(course.seconds, 1),
        "acts": {
            str(kind): sum(done.kind is kind for done in course.done)
            for kind in {d.kind for d in course.done}
        },
        "worker_boots": course.worker_boots,
        "disk": report.disk,
        "scenes": dict(sorted(report.scenes.items())),
        "scenes_judged": report.scenes_judged,
        "rough_results": tally.rough,
        "healing_ms": [round(ms) for ms in report.healing_ms],
        "triggers": tally.triggers,
        "frame_faults": dict(sorted(tally.faults.items())),
        "verdicts": {str(verdict): tally.verdicts[verdict] for verdict in Verdict},
        "reasons": dict(sorted(tally.reasons.items())),
        "unattributed": tally.unattributed,
        "unannounced": tally.unannounced,
        "received": tally.received,
        "unheard": tally.unheard,
        "deaths": [{"kind": str(death.kind), "after_ms": death.after_ms} for death in report.deaths],
        "dead_peer_ms": {"p50": spread.p50, "p99": spread.p99, "max": spread.most} if spread else None,
        "holds": not report.problems,
        "problems": list(report.problems),
    }


def report_view(report: ChaosReport) -> Group:
    """The figures for a person."""
    tally = report.tally
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(
        "acts", f"{len(report.course.done)}, the worker was started {report.course.worker_boots} times"
    )
    table.add_row("disk", report.disk)
    table.add_row("rough camera", _scenes(report))
    table.add_row(
        "frame faults", ", ".join(f"{kind} {n}" for kind, n in sorted(tally.faults.items())) or "none"
    )
    table.add_row("reasons", ", ".join(f"{reason} {n}" for reason, n in sorted(tally.reasons.items())))
    table.add_row(
        "received", f"{tally.received}, {tally.unheard} more only in the ledger (their worker was killed)"
    )
    table.add_row("dead peers", _deaths(report.deaths))
    table.add_row("framing", ", ".join(f"{ms:.0f} ms" for ms in report.healing_ms) or "no damage alone")
    return Group(table, _identity(tally, report.problems))


def _identity(tally: Tally, problems: Sequence[str]) -> Text:
    sums = " + ".join(f"{tally.verdicts[verdict]} {verdict.lower()}" for verdict in Verdict)
    text = Text(
        f"{tally.triggers} triggers + {tally.unattributed} unattributed = {sums} + {tally.unannounced} unannounced: "
    )
    if not problems:
        return text.append("the account holds", style="bold green")
    text.append("the account does NOT hold", style="bold red")
    for problem in problems:
        text.append(f"\n  {problem}", style="red")
    return text


def _deaths(deaths: Sequence[Report]) -> str:
    spread: Spread | None = spread_of(deaths)
    if spread is None:
        return "none that could have been reported"
    return f"{len(deaths)} reported after p50 {spread.p50:.0f} ms, max {spread.most:.0f} ms"


def _scenes(report: ChaosReport) -> str:
    if not report.scenes:
        return "no scene"
    names = ", ".join(f"{name} {count}" for name, count in sorted(report.scenes.items()))
    return f"{names}; {report.scenes_judged} judged in full, {report.tally.rough} results"


def _after(death: Report) -> str:
    return "never" if death.after_ms is None else f"after {death.after_ms:.0f} ms"

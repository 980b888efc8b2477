"""`cmfm-sim chaos`: runs a whole line under faults of every kind and checks its account from outside."""

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from cmfm_protocol.files.outputs import require_writable_folder
from cmfm_sim.chaos.line import LineOptions
from cmfm_sim.chaos.parts import ensure_parts, read_settings
from cmfm_sim.chaos.plan import ActKind, ChaosPlan
from cmfm_sim.chaos.play import play
from cmfm_sim.chaos.report import ChaosReport, report_map, report_view
from cmfm_sim.errors import FailedError, InputError
from cmfm_sim.faults import FaultPlan
from cmfm_sim.stdout import stdout_console
from cmfm_sim.stopping import stop_on_signals

SPARE: Final = 2.0
"""Limit of the triggers of a camera boot, as a multiple of those that the run takes."""


def chaos(
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="Folder for everything that the runs write; each run empties its own folder in it."
        ),
    ] = Path("cmfm-chaos"),
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="line.toml whose recipes and settings the worker runs with; sockets, ledger and kept parts are the "
            "run's own. Default: a recipe that is taught here from synthetic parts.",
            show_default=False,
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root", help="Data set to send (MVTec 3D-AD layout); with --config.", show_default=False
        ),
    ] = None,
    category: Annotated[str, typer.Option("--category", help="Category to send.")] = "praline",
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe", help="Recipe named in the frames. Default: the category.", show_default=False
        ),
    ] = "",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all faults and their times.")] = 0,
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds", min=1, help="Number of runs, one after the other, with seeds from --seed on."
        ),
    ] = 1,
    duration_s: Annotated[
        float, typer.Option("--duration-s", min=5, help="Length of the disturbance.")
    ] = 60.0,
    parts: Annotated[
        int | None,
        typer.Option(
            "--parts", min=1, help="Number of triggers, instead of --duration-s.", show_default=False
        ),
    ] = None,
    rate: Annotated[float, typer.Option("--rate", min=0.1, max=10_000, help="Triggers a second.")] = 20.0,
    deadline_ms: Annotated[
        float, typer.Option("--deadline-ms", min=1, help="Time from a trigger to its verdict.")
    ] = 1000.0,
    every_s: Annotated[
        float, typer.Option("--every-s", min=0.1, help="Mean interval between two acts in seconds.")
    ] = 3.0,
    acts: Annotated[
        str,
        typer.Option(
            "--acts",
            help=f"Kinds of acts, separated by commas. Default: {', '.join(ActKind)}.",
            show_default=False,
        ),
    ] = "",
    faults: Annotated[
        str | None,
        typer.Option(
            "--faults",
            help='Faults of frames, as in `cmfm-sim replay --help`; "" for none. Default: all kinds.',
            show_default=False,
        ),
    ] = None,
    show_plan: Annotated[bool, typer.Option("--show-plan", help="Print the plan and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, one object a run.")
    ] = False,
) -> None:
    """Disturb a whole line by a seeded plan and check its account from outside.

    Starts a camera, `cmfm-worker` and a recording subscriber as processes, damages
    and loses frames, lets clocks jump, kills (-9) and stops the processes, cuts and
    slows their connections, damages their framing, and fills the disk. A second
    worker is started on the same ledger, and a rough camera plays scenes: numbers
    that jump, wrap or come twice, repeated pictures, a stream_uuid of before. Then
    the cameras' own lists of triggers are compared with the worker's ledger and the
    subscriber's record.

    Exit code 0 only if every trigger has its one verdict, every part that cannot
    have been inspected has a FAULT, no other part is lost for it, each dead peer was
    reported within 1 s, and each damaged connection was made again.
    """
    console = stdout_console(stderr=as_json)
    if parts is not None:
        duration_s = max(parts / rate, 1.0)
    plans = [_plan(number, duration_s, every_s, acts, faults) for number in range(seed, seed + seeds)]
    FaultPlan.parse(plans[0].frame_faults).check_deadline(deadline_ms)
    if show_plan:
        console.print("\n".join(map(str, plans)), markup=False)
        return
    require_writable_folder(out)
    failed = []
    with stop_on_signals() as stop:
        if config is None:
            with console.status("Parts and a recipe …"):
                root, config = ensure_parts(out, category, stop.is_set)
        if root is None:
            raise InputError("--root is missing: which parts are to be sent to the line of --config?")
        limit = int(rate * duration_s * SPARE) + 1000 if parts is None else parts
        options = LineOptions(
            root.absolute(), category, rate, deadline_ms, limit, recipe, read_settings(config), rough=True
        )
        for plan in plans:
            command = _replay_command(plan.seed)
            show_line: Callable[[str], None] = (lambda _: None) if as_json else console.print
            try:
                report = play(
                    plan,
                    options,
                    out / f"seed-{plan.seed}",
                    stopped=stop.is_set,
                    on_step=show_line,
                    ends_with_camera=parts is not None,
                )
                _show(report, console, as_json)
                bad = bool(report.problems)
            except FailedError as error:
                if stop.is_set():
                    raise
                console.print(f"seed {plan.seed}: {error}", style="bold red", markup=False)
                bad = True
            if bad:
                failed.append(plan.seed)
                console.print(f"again: {command}", style="bold", soft_wrap=True, markup=False)
    raise typer.Exit(1 if failed else 0)


def _plan(seed: int, duration_s: float, every_s: float, acts: str, faults: str | None) -> ChaosPlan:
    names = [name.strip() for name in acts.split(",") if name.strip()]
    unknown = sorted(set(names) - set(ActKind))
    if unknown:
        raise InputError(f"--acts {', '.join(unknown)}: there are {', '.join(ActKind)}")
    kinds = tuple(ActKind(name) for name in names) or tuple(ActKind)
    plan = ChaosPlan.draw(seed, duration_s, every_s=every_s, kinds=kinds)
    return plan if faults is None else replace(plan, frame_faults=faults)


def _replay_command(seed: int) -> str:
    """This command for one seed."""
    kept, skip = [], False
    for argument in sys.argv[1:]:
        name = argument.partition("=")[0]
        if not skip and name not in ("--seed", "--seeds"):
            kept.append(argument)
        skip = not skip and argument in ("--seed", "--seeds")
    return shlex.join(["cmfm-sim", *kept, "--seed", str(seed)])


def _show(report: ChaosReport, console: Console, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report_map(report)))
    else:
        console.print(report_view(report))

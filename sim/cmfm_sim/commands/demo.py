"""`cmfm-sim demo`: runs the whole line on this machine."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cmfm_protocol.files.outputs import require_writable_folder
from cmfm_sim.commands.demo_display import ConsoleDisplay
from cmfm_sim.commands.make import Counts
from cmfm_sim.datasets.synthetic import CATEGORIES
from cmfm_sim.demo import Demo
from cmfm_sim.demo_conveyor import LOAD, USUAL_RATE_HZ
from cmfm_sim.demo_line import DemoFolder
from cmfm_sim.demo_options import DemoOptions
from cmfm_sim.errors import InputError
from cmfm_sim.faults import FaultPlan
from cmfm_sim.stdout import stdout_console
from cmfm_sim.stopping import stop_on_signals
from cmfm_sim.summary import summary_map, summary_view

DEFAULT_CATEGORIES = ("biscuit", "circuit")
SHOWN_PICTURES = 8


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that the demo writes.")] = Path(
        "cmfm-demo"
    ),
    category: Annotated[
        list[str] | None,
        typer.Option(
            "--category",
            help=f"Product to make; give it again for more: {', '.join(CATEGORIES)}. "
            f"Default: {' and '.join(DEFAULT_CATEGORIES)}.",
            show_default=False,
        ),
    ] = None,
    parts: Annotated[
        int,
        typer.Option(
            "--parts",
            min=4,
            help="Good parts to teach from, a product; test parts scale with it.",
        ),
    ] = 24,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            min=0.1,
            max=1000,
            help=f"Parts a second on the conveyor. Default: {USUAL_RATE_HZ:g}, or {LOAD:.0%} of the worker's capacity "
            "on this machine if that is less.",
            show_default=False,
        ),
    ] = None,
    deadline_ms: Annotated[
        float, typer.Option("--deadline-ms", min=1, help="Time from a trigger to its verdict.")
    ] = 1000.0,
    faults: Annotated[
        str,
        typer.Option(
            "--faults",
            help="Faults to inject, as in `cmfm-sim replay --help`: drop=0.05,corrupt=2.",
            show_default=False,
        ),
    ] = "",
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="The same seed makes the same parts and faults.")
    ] = 0,
    triggers: Annotated[
        bool, typer.Option("--triggers", help="Announce each part by a trigger message before its frame.")
    ] = False,
    gateway: Annotated[
        bool,
        typer.Option(
            "--gateway", help="Also run cmfm-gateway (Modbus TCP, OPC UA), and print its addresses."
        ),
    ] = False,
    page: Annotated[
        bool,
        typer.Option(
            "--page",
            help="Also run cmfm-hmi, the operator's page, and print its address. The parts go round until Ctrl-C.",
        ),
    ] = False,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Use the parts and recipes that an earlier demo left in the folder."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run the whole line on this machine; takes a minute or two and needs nothing else.

    Makes synthetic parts, teaches a recipe from the good ones, starts
    `cmfm-worker` as its own process, sends it the test parts over ZeroMQ at a
    conveyor's rate and shows each verdict as it comes. At the end it prints the
    account of all parts against their true defects, and the paths of pictures of
    the rejected ones.

    Exit code 0 only if every part has exactly one verdict, as counted by the
    camera, by the subscriber and by the worker itself.
    """
    names = tuple(dict.fromkeys(category or DEFAULT_CATEGORIES))
    _check(names, faults, seed, deadline_ms)
    require_writable_folder(out)
    counts = Counts.scaled(parts)
    options = DemoOptions(
        categories=names,
        train=counts.train,
        validation=counts.validation,
        good=counts.good,
        per_defect=counts.per_defect,
        rate_hz=rate,
        deadline_ms=deadline_ms,
        faults=faults,
        seed=seed,
        keep=keep,
        jobs=os.cpu_count() or 1,
        triggers=triggers,
        gateway=gateway,
        page=page,
    )
    folder = DemoFolder(out)
    console = stdout_console(stderr=as_json)
    display = ConsoleDisplay(console)
    console.print(f"everything that the demo writes is in {out.resolve()}", markup=False, soft_wrap=True)
    with stop_on_signals() as stop:
        try:
            report = Demo(folder, options, display, stop.is_set, stop.clear).run()
        finally:
            display.clear()
    figures = summary_map(report.account, report.problems, report.pictures)
    folder.summary.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        console.print()
        console.print(summary_view(report.account, report.problems))
        _show_pictures(console, folder, report.pictures)
    raise typer.Exit(1 if report.problems else 0)


def _check(categories: tuple[str, ...], faults: str, seed: int, deadline_ms: float) -> None:
    """Raise InputError now for options that would fail a minute later."""
    unknown = [name for name in categories if name not in CATEGORIES]
    if unknown:
        raise InputError(f"--category {', '.join(unknown)}: there are {', '.join(CATEGORIES)}")
    FaultPlan.parse(faults, seed).check_deadline(deadline_ms)


def _show_pictures(console: Console, folder: DemoFolder, pictures: tuple[Path, ...]) -> None:
    console.print(f"\n{len(pictures)} pictures of rejected parts in {folder.rejected}", soft_wrap=True)
    for path in pictures[:SHOWN_PICTURES]:
        console.print(f"  {path}", soft_wrap=True, markup=False)
    if len(pictures) > SHOWN_PICTURES:
        console.print(f"  … and {len(pictures) - SHOWN_PICTURES} more")
    said = [
        (
            "magenta outline",
            "region of a defect: Ψ reaches the threshold and half of its highest value nearby",
        ),
        ("frames of rejected parts", f"{folder.kept} (cmfm-worker replay-part computes one again)"),
        *(
            (f"threshold of {recipe.name}", str(recipe / "report" / "report.html"))
            for recipe in folder.taught()
        ),
        ("settings, logs, triggers and results", str(folder.root)),
    ]
    for what, where in said:
        console.print(f"{what}: {where}", soft_wrap=True, markup=False)

"""`cmfm-worker evaluate --all`: the paper's tables over a whole data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cmfm_worker.errors import InputError

if TYPE_CHECKING:
    import torch

    from cmfm_worker.cfm.progress import ReportProgress
    from cmfm_worker.paper_tables.engines import Engine
    from cmfm_worker.paper_tables.experiments import Cell, SuiteOptions
    from cmfm_worker.paper_tables.print_tables import PrintedTable
    from cmfm_worker.paper_tables.run import Plan, RunState
    from cmfm_worker.paper_tables.store import Store

TERMINAL_COLUMNS, TERMINAL_LINES = 7, 8
"""Larger tables are left to the files: by category they are for a wide page."""

STAGES = {
    "cells": "cells",
    "extract": "  features",
    "fit": "  fitting",
    "validate": "  validation",
    "test": "  inspecting",
}


@dataclass(frozen=True, slots=True)
class HowToRun:
    """Where cells are computed, and what is written."""

    out: Path
    tables: tuple[int, ...] | None
    skip: tuple[str, ...]
    devices: tuple[str, ...]
    engine: Literal["local", "ray"]
    ray_address: str
    gpus: float
    report: bool


def evaluate_all(options: SuiteOptions, how: HowToRun) -> int:
    """Plan, take over what is kept, measure the rest, write the tables. Returns the exit code.

    An interruption loses the cell it hits: the finished ones are kept and the tables show what is there. Raises
    InputError or DatasetError for what would stop the run, before any work.
    """
    from cmfm_worker.cli.console import remark
    from cmfm_worker.paper_tables.check import check_prepared
    from cmfm_worker.paper_tables.report import require_report
    from cmfm_worker.paper_tables.run import (
        MARKDOWN,
        REPORT,
        RunState,
        make_plan,
        tables_for,
        take_kept,
        write_outcome,
    )
    from cmfm_worker.paper_tables.store import Store

    if how.report:
        require_report()
    plan = make_plan(options, tables_for(options.categories, options.preset, how.tables), how.skip)
    store, state = Store(how.out), RunState()
    left = take_kept(plan, store, state)
    check_prepared(left, options, _device(how))
    if state.done:
        remark(f"{len(state.done)} of {len(plan.cells)} cells are in {how.out} already")
    if state.outdated:
        remark(f"files have changed since, measured again: {', '.join(state.outdated)}")
    try:
        if left:
            _measure(plan, left, how, store, state)
    except KeyboardInterrupt:
        remark(
            f"interrupted: {len(state.done)} of {len(plan.cells)} cells are kept in {how.out}; the same command goes on"
        )
        raise
    finally:
        tables = write_outcome(plan, store, state, report=how.report)
    for table in tables:
        if len(table.header) <= TERMINAL_COLUMNS and len(table.rows) <= TERMINAL_LINES:
            _show(table)
    for title, problem in state.problems.items():
        remark(f"not measured: {title}: {problem}")
    remark(f"see {how.out / (REPORT if how.report else MARKDOWN)}")
    return 2 if state.problems else 0


def _measure(plan: Plan, left: Sequence[Cell], how: HowToRun, store: Store, state: RunState) -> None:
    from cmfm_worker.cli.console import progress_bars, remark
    from cmfm_worker.paper_tables.run import measure

    engine = _engine(how)
    with progress_bars(STAGES) as progress:
        progress("cells", len(state.done), len(plan.cells))

        def ended(cell: Cell) -> None:
            remark(_in_a_line(cell, state))
            progress("cells", len(state.done) + len(state.problems), len(plan.cells))

        measure(plan, left, engine(progress), store, state, ended)


def _in_a_line(cell: Cell, state: RunState) -> str:
    """What came out of a cell, for whoever looks at a long run."""
    found = state.done.get((cell.category, cell.name))
    if found is None:
        return f"{cell.title}: not measured: {state.problems[cell.title]}"
    of = found["metrics"].get("product") or next(iter(found["metrics"].values()))
    numbers = {"I-AUROC": of["i_auroc"], "AUPRO@30%": of["aupro"]["0.3"]}
    shown = ", ".join(f"{name} {'–' if value is None else f'{value:.3f}'}" for name, value in numbers.items())
    left_out = len(found["torn"]) + len(found["not_inspected"])
    without = f", {left_out} part{'s' * (left_out > 1)} left out (named in the tables)" if left_out else ""
    return f"{cell.title}: {shown}, fitted in {found['fit']['seconds']:.0f} s{without}"


def _device(how: HowToRun) -> torch.device:
    """The kind of device that cells are computed on."""
    import torch

    from cmfm_worker.line.compute.device import choose_device

    if how.engine == "ray":
        return torch.device("cuda" if how.gpus else "cpu")
    return choose_device(how.devices[0])


def _engine(how: HowToRun) -> Callable[[ReportProgress], Engine]:
    """The engine, once it is known who hears of its progress. Raises InputError for a device or cluster not there."""
    from cmfm_worker.line.compute.device import choose_device
    from cmfm_worker.paper_tables.engines import DevicesEngine, LocalEngine

    if how.engine == "ray":
        from cmfm_worker.paper_tables.ray_engine import RayEngine, RayOptions

        ray = RayEngine(RayOptions(how.ray_address, how.gpus))
        return lambda _progress: ray
    devices = [choose_device(name) for name in how.devices]
    if len(devices) > 1:
        several = DevicesEngine(devices)
        return lambda _progress: several
    return partial(LocalEngine, devices[0])


def _show(table: PrintedTable) -> None:
    from cmfm_worker.cli.console import show_table

    show_table(table.title, table.header, table.texts())


def table_numbers(text: str | None) -> tuple[int, ...] | None:
    """ "1,4-6" as numbers of the paper's tables. Raises InputError naming one that is none."""
    if text is None:
        return None
    from cmfm_worker.paper_tables.tables import TABLES

    numbers: list[int] = []
    for piece in text.split(","):
        first, dash, last = piece.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise InputError(f"--tables {text}: {piece.strip()!r} is no number of a table")
        numbers += range(int(first), int(last or first) + 1)
    if unknown := sorted(set(numbers) - TABLES.keys()):
        raise InputError(
            f"--tables {text}: the paper has no table {unknown[0]}; its tables are 1 to {max(TABLES)}"
        )
    return tuple(numbers)


def variant_names(text: str) -> tuple[str, ...]:
    """Names of variants, comma-separated. Raises InputError naming one that is none."""
    from cmfm_worker.paper_tables.variants import VARIANTS

    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in VARIANTS:
            raise InputError(f"--skip {name}: no such variant; they are {', '.join(VARIANTS)}")
    return names

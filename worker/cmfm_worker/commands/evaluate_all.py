"""`cmfm-worker evaluate --all`: the paper's tables over a whole data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cmfm_worker.errors import InputError

if TYPE_CHECKING:
    from cmfm_worker.commands.console import Advance
    from cmfm_worker.suite.cells import Cell, SuiteOptions
    from cmfm_worker.suite.engines import Engine
    from cmfm_worker.suite.print_tables import PrintedTable
    from cmfm_worker.suite.run import Plan, RunState
    from cmfm_worker.suite.store import Store

TERMINAL_COLUMNS = 7
"""Tables of more columns are left to the files: by category they are for a wide page."""

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

    An interruption loses the cell it hits: the finished ones are kept and the tables show what is there.
    """
    from cmfm_worker.commands.console import remark
    from cmfm_worker.suite.report import require_report
    from cmfm_worker.suite.run import (
        MARKDOWN,
        REPORT,
        RunState,
        make_plan,
        tables_for,
        take_kept,
        write_outcome,
    )
    from cmfm_worker.suite.store import Store

    if how.report:
        require_report()
    plan = make_plan(options, tables_for(options.categories, how.tables), how.skip)
    store, state = Store(how.out), RunState()
    left = take_kept(plan, store, state)
    if state.done:
        remark(f"{len(state.done)} of {len(plan.cells)} cells are in {how.out} already")
    try:
        if left:
            _measure(plan, left, how, store, state)
    finally:
        tables = write_outcome(plan, store, state, report=how.report)
    for table in tables:
        if len(table.header) <= TERMINAL_COLUMNS:
            _show(table)
    for title, problem in state.problems.items():
        remark(f"not measured: {title}: {problem}")
    remark(f"see {how.out / (REPORT if how.report else MARKDOWN)}")
    return 2 if state.problems else 0


def _measure(plan: Plan, left: Sequence[Cell], how: HowToRun, store: Store, state: RunState) -> None:
    from cmfm_worker.commands.console import progress_bars
    from cmfm_worker.suite.run import measure

    with progress_bars(STAGES) as progress:
        progress("cells", len(state.done), len(plan.cells))

        def ended(_cell: Cell) -> None:
            progress("cells", len(state.done) + len(state.problems), len(plan.cells))

        measure(plan, left, _engine(how, progress), store, state, ended)


def _engine(how: HowToRun, progress: Advance) -> Engine:
    from cmfm_worker.device import choose_device
    from cmfm_worker.suite.engines import DevicesEngine, LocalEngine

    if how.engine == "ray":
        from cmfm_worker.suite.ray_engine import RayEngine, RayOptions

        return RayEngine(RayOptions(how.ray_address, how.gpus))
    devices = [choose_device(name) for name in how.devices]
    return LocalEngine(devices[0], progress) if len(devices) == 1 else DevicesEngine(devices)


def _show(table: PrintedTable) -> None:
    from cmfm_worker.commands.console import show_table

    show_table(table.title, table.header, table.texts())


def table_numbers(text: str | None) -> tuple[int, ...] | None:
    """ "1,4-6" as numbers of the paper's tables. Raises InputError naming one that is none."""
    if text is None:
        return None
    from cmfm_worker.suite.tables import TABLES

    numbers: list[int] = []
    for piece in text.split(","):
        first, _, last = piece.strip().partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            raise InputError(f"--tables {text}: {piece.strip()!r} is no number of a table")
        numbers += range(int(first), int(last or first) + 1)
    if unknown := sorted(set(numbers) - TABLES.keys()):
        raise InputError(
            f"--tables {text}: the paper has no table {unknown[0]}; its tables are 1 to {max(TABLES)}"
        )
    return tuple(numbers)


def variant_names(text: str) -> tuple[str, ...]:
    """Names of variants, comma-separated. Raises InputError naming one that is none."""
    from cmfm_worker.suite.variants import VARIANTS

    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in VARIANTS:
            raise InputError(f"--skip {name}: no such variant; they are {', '.join(VARIANTS)}")
    return names

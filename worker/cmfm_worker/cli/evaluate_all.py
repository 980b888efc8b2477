"""`cmfm-worker evaluate --all`: makes the paper's tables over a whole data set."""

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
    from cmfm_worker.paper_tables.experiments import Experiment, RunOptions
    from cmfm_worker.paper_tables.print_tables import PrintedTable
    from cmfm_worker.paper_tables.run import Plan, RunState
    from cmfm_worker.paper_tables.store import Store

TERMINAL_COLUMNS, TERMINAL_LINES = 7, 8
"""Largest table shown on the terminal; larger ones are only written to files."""

STAGES = {
    "experiments": "experiments",
    "extract": "  features",
    "fit": "  fitting",
    "folds": "  out of fold",
    "metric": "  metric",
    "validate": "  validation",
    "test": "  inspecting",
}


@dataclass(frozen=True, slots=True)
class HowToRun:
    """Options of a run: the engine, its devices, the tables and the output."""

    out: Path
    tables: tuple[int, ...] | None
    skip: tuple[str, ...]
    devices: tuple[str, ...]
    engine: Literal["local", "ray"]
    ray_address: str
    gpus: float
    report: bool


def evaluate_all(
    options: RunOptions,
    how: HowToRun,
    change_engine: Callable[[Engine], Engine] = lambda engine: engine,
) -> int:
    """Plan the experiments, load the finished ones, run the rest and write the tables. Returns the exit code.

    `change_engine` may wrap the engine that `how` selects.

    An interruption loses only the running experiment: the finished ones are stored and appear in the tables. Raises
    InputError or DatasetError, before any work, for anything that would stop the run.
    """
    from cmfm_protocol.files.outputs import require_writable_folder
    from cmfm_worker.cli.console import remark
    from cmfm_worker.paper_tables.check import check_prepared
    from cmfm_worker.paper_tables.report import require_report
    from cmfm_worker.paper_tables.run import (
        MARKDOWN,
        REPORT,
        RunState,
        load_finished,
        make_plan,
        tables_for,
        write_outcome,
    )
    from cmfm_worker.paper_tables.store import Store

    if how.report:
        require_report()
    require_writable_folder(how.out)
    plan = make_plan(options, tables_for(options.categories, options.preset, how.tables), how.skip)
    for title, why in plan.inputs.left_out.items():
        remark(f"not measured: {title}: {why}; its places in the tables stay open")
    for text in plan.inputs.remarks:
        remark(text)
    store, state = Store(how.out), RunState()
    left = load_finished(plan, store, state)
    check_prepared(left, options, _device(how))
    if state.done:
        remark(f"{len(state.done)} of {len(plan.experiments)} experiments are in {how.out} already")
    if state.outdated:
        remark(f"files have changed, these run again: {', '.join(state.outdated)}")
    try:
        if left:
            _run(plan, left, how, store, state, change_engine)
    except KeyboardInterrupt:
        remark(
            f"interrupted: {len(state.done)} of {len(plan.experiments)} experiments are stored in {how.out}; "
            "repeat the command to continue"
        )
        raise
    finally:
        tables = write_outcome(plan, store, state, report=how.report)
    for table in tables:
        if len(table.header) <= TERMINAL_COLUMNS and len(table.rows) <= TERMINAL_LINES:
            _show(table)
    for title, problem in state.problems.items():
        remark(f"failed: {title}: {problem}")
    remark(f"see {how.out / (REPORT if how.report else MARKDOWN)}")
    return 2 if state.problems else 0


def _run(
    plan: Plan,
    left: Sequence[Experiment],
    how: HowToRun,
    store: Store,
    state: RunState,
    change_engine: Callable[[Engine], Engine],
) -> None:
    from cmfm_worker.cli.console import progress_bars, remark
    from cmfm_worker.paper_tables.run import run_experiments

    engine = _engine(how)
    with progress_bars(STAGES) as progress:
        progress("experiments", len(state.done), len(plan.experiments))

        def ended(experiment: Experiment) -> None:
            remark(_in_a_line(experiment, state))
            progress("experiments", len(state.done) + len(state.problems), len(plan.experiments))

        run_experiments(plan, left, change_engine(engine(progress)), store, state, ended)


def _in_a_line(experiment: Experiment, state: RunState) -> str:
    """Summarise an experiment's outcome in one line, for a person who watches a long run."""
    found = state.done.get((experiment.category, experiment.name))
    if found is None:
        return f"{experiment.title}: failed: {state.problems[experiment.title]}"
    of = found["metrics"].get("product") or next(iter(found["metrics"].values()))
    numbers = {"I-AUROC": of["i_auroc"], "AUPRO@30%": of["aupro"]["0.3"]}
    shown = ", ".join(f"{name} {'–' if value is None else f'{value:.3f}'}" for name, value in numbers.items())
    left_out = len(found["torn"]) + len(found["not_inspected"])
    without = f", {left_out} part{'s' * (left_out > 1)} left out (named in the tables)" if left_out else ""
    return f"{experiment.title}: {shown}, fitted in {found['fit']['seconds']:.0f} s{without}"


def _device(how: HowToRun) -> torch.device:
    """Return the kind of device that experiments are computed on."""
    import torch

    from cmfm_worker.line.compute.device import choose_device

    if how.engine == "ray":
        return torch.device("cuda" if how.gpus else "cpu")
    return choose_device(how.devices[0])


def _engine(how: HowToRun) -> Callable[[ReportProgress], Engine]:
    """Return the function that makes the engine from a progress callback.

    Raises InputError for a missing device or cluster.
    """
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
    """Read "1,4-6" as numbers of the paper's tables. Raises InputError naming an unknown one."""
    if text is None:
        return None
    from cmfm_worker.paper_tables.tables import TABLES

    numbers: list[int] = []
    for piece in text.split(","):
        first, dash, last = piece.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise InputError(f"--tables {text}: {piece.strip()!r} is not the number of a table")
        numbers += range(int(first), int(last or first) + 1)
    if unknown := sorted(set(numbers) - TABLES.keys()):
        raise InputError(
            f"--tables {text}: the paper has no table {unknown[0]}; its tables are 1 to {max(TABLES)}"
        )
    return tuple(numbers)


def variant_names(text: str) -> tuple[str, ...]:
    """Read comma-separated names of variants. Raises InputError naming an unknown one."""
    from cmfm_worker.paper_tables.variants import VARIANTS

    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in VARIANTS:
            raise InputError(f"--skip {name}: no such variant; they are {', '.join(VARIANTS)}")
    return names

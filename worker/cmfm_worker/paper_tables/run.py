"""A whole run: what is kept is taken over, what is missing is measured, then the tables and the report are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cmfm_worker.bench.provenance import provenance
from cmfm_worker.cfm.extractor import Preset
from cmfm_worker.cfm.weights import KNOWN_HASHES
from cmfm_worker.errors import InputError
from cmfm_worker.paper_tables.check import Inputs, check_run
from cmfm_worker.paper_tables.engines import Engine
from cmfm_worker.paper_tables.experiments import Cell, SuiteOptions, plan_cells
from cmfm_worker.paper_tables.figures import Results
from cmfm_worker.paper_tables.paper import EYECANDIES, MVTEC_3D
from cmfm_worker.paper_tables.print_tables import PrintedTable, as_csv, as_json, as_markdown, print_table
from cmfm_worker.paper_tables.report import render_report
from cmfm_worker.paper_tables.store import CELLS, Store
from cmfm_worker.paper_tables.tables import TABLES, PaperTable, variants_of
from cmfm_worker.paper_tables.variants import VARIANTS

MARKDOWN: Final = "tables.md"
CSV: Final = "tables.csv"
JSON: Final = "tables.json"
REPORT: Final = "report.html"

OF_IMAGE_EXTRACTORS: Final = 10
"""The table whose rows are 2D extractors."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The cells of a run, which cell serves which variant, and what they are measured from."""

    options: SuiteOptions
    tables: tuple[PaperTable, ...]
    cells: tuple[Cell, ...]
    served: dict[str, str]
    inputs: Inputs


@dataclass(slots=True)
class RunState:
    """Figures of finished cells by (category, cell name), what is wrong with the others, and the titles of cells that
    were kept from parts that have changed since.
    """

    done: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    outdated: list[str] = field(default_factory=list)


def tables_for(
    categories: Iterable[str], preset: Preset, asked: Sequence[int] | None = None
) -> tuple[PaperTable, ...]:
    """The tables asked for; by default all that the paper made on this data set, and all on any other.

    `classic` has no 2D extractor to be compared: not by default, and InputError where it is asked for.
    """
    if asked is not None:
        if preset == "classic" and OF_IMAGE_EXTRACTORS in asked:
            raise InputError(
                f"--tables: table {OF_IMAGE_EXTRACTORS} compares 2D extractors, `classic` has none; leave it out, or "
                "take --extractors paper"
            )
        return tuple(TABLES[number] for number in sorted(set(asked)))
    names = set(categories)
    other = {"mvtec3d"} if names <= set(EYECANDIES) else {"eyecandies"} if names <= set(MVTEC_3D) else set()
    left_out = {OF_IMAGE_EXTRACTORS} if preset == "classic" else set[int]()
    return tuple(t for t in TABLES.values() if t.dataset not in other and t.number not in left_out)


def make_plan(options: SuiteOptions, tables: tuple[PaperTable, ...], skip: Iterable[str] = ()) -> Plan:
    """What has to be measured. Raises InputError or DatasetError where something is missing, before any work."""
    without = set(skip)
    wanted = [VARIANTS[name] for name in variants_of(tables) if name not in without]
    cells, served = plan_cells(wanted, options)
    return Plan(options, tables, tuple(cells), served, check_run(cells, options))


def take_kept(plan: Plan, store: Store, state: RunState) -> list[Cell]:
    """Take over what an earlier run has finished; the cells that are left.

    Raises InputError where the folder holds cells taught otherwise: they may have taken days, and are not written over.
    """
    _refuse_other_run(plan, store)
    left = []
    for cell in plan.cells:
        kept = store.load(cell, plan.inputs.of(cell))
        if kept is None:
            left.append(cell)
            if store.outdated(cell, plan.inputs.of(cell)):
                state.outdated.append(cell.title)
        else:
            state.done[cell.category, cell.name] = kept
    return left


def _refuse_other_run(plan: Plan, store: Store) -> None:
    others = [
        (cell, differences)
        for cell in plan.cells
        if (differences := store.differences(cell, plan.inputs.of(cell)))
    ]
    if others:
        cell, differences = others[0]
        more = f" (and {len(others) - 1} more cells)" if len(others) > 1 else ""
        raise InputError(
            f"--out {store.folder} holds another run: of {cell.title}, {'; '.join(differences)}{more}. Take another "
            f"--out, or delete {store.folder / CELLS} to measure anew"
        )


def measure(
    plan: Plan,
    left: Sequence[Cell],
    engine: Engine,
    store: Store,
    state: RunState,
    ended: Callable[[Cell], None],
) -> None:
    """Measure what is left; every finished cell is kept at once."""
    for end in engine.run(left, plan.options):
        if end.result is None:
            state.problems[end.cell.title] = end.problem
        else:
            kept = store.save(end.cell, plan.inputs.of(end.cell), end.result)
            state.done[end.cell.category, end.cell.name] = kept
        ended(end.cell)


def write_outcome(plan: Plan, store: Store, state: RunState, *, report: bool) -> list[PrintedTable]:
    """Write the tables, and the report where it is wanted, from what is there so far."""
    results = Results(state.done, plan.served, plan.options.categories)
    tables = [print_table(table, results) for table in plan.tables]
    notes = run_notes(plan, state)
    about = {"notes": notes, "problems": state.problems, "provenance": provenance(["cpu"])}
    text = json.dumps({**about, "tables": as_json(tables)}, indent=1, allow_nan=False)
    store.write(JSON, (text + "\n").encode())
    store.write(CSV, as_csv(tables).encode())
    store.write(MARKDOWN, as_markdown(tables, notes).encode())
    if report:
        title = f"{plan.options.root.resolve().name}: {plan.options.preset} extractors"
        store.write(REPORT, render_report(tables, results, notes, title).encode())
    return tables


def run_notes(plan: Plan, state: RunState) -> list[str]:
    """What a reader has to know besides the numbers."""
    options = plan.options
    epochs = {cell.name: cell.settings.epochs for cell in plan.cells}
    notes = [
        f"{options.root.resolve().name}: {len(options.categories)} categories ({', '.join(options.categories)})",
        f"extractors: {_extractors(options)}; scores and maps normalised as: {options.scores_by}; seed {options.seed}",
        "epochs: " + ", ".join(f"{name} {count}" for name, count in sorted(epochs.items())),
        *_taught_otherwise(options),
        *_unknown_weights(plan.inputs),
        *_served_by_another(plan),
        *_machines(state),
    ]
    if len(state.done) < len(plan.cells):
        notes.append(
            f"{len(state.done)} of {len(plan.cells)} cells are there; run the command again to go on"
        )
    notes += [f"{title}: {problem}" for title, problem in state.problems.items()]
    notes += [
        f"{category} / {name}: left out {part}: {why}"
        for (category, name), cell in state.done.items()
        for part, why in {**cell["not_inspected"], **cell["torn"]}.items()
    ]
    return notes


def _extractors(options: SuiteOptions) -> str:
    if options.preset == "classic":
        return "classic"
    return f"{options.preset}, {options.group_size} points a group, {options.precision}"


def _taught_otherwise(options: SuiteOptions) -> Iterator[str]:
    if options.pixels_per_image is not None:
        yield f"fitted on {options.pixels_per_image} pixels of a part in an epoch, drawn anew each time"
    if options.background.method == "none":
        yield "the background is not removed"


def _unknown_weights(inputs: Inputs) -> Iterator[str]:
    """Numbers from weights that are not the published ones do not compare with the paper's."""
    for image, hashes in inputs.weights.items():
        for unknown in sorted(set(hashes) - KNOWN_HASHES.keys()):
            yield f"weights for {image}: unknown sha256 {unknown}; not one of the published files on record"


def _served_by_another(plan: Plan) -> list[str]:
    notes = [
        f"{variant} is the same as {name} with these extractors"
        for variant, name in plan.served.items()
        if variant != name
    ]
    unknown = [name for name in variants_of(plan.tables) if name not in plan.served]
    if unknown:
        notes.append(f"not measured (left out, or not with these extractors): {', '.join(unknown)}")
    return notes


def _machines(state: RunState) -> list[str]:
    """Where and from which code the cells come; more than one of either is worth knowing."""
    found = set[tuple[str, ...]]()
    for of in (cell["provenance"] for cell in state.done.values()):
        code = f"commit {of['commit'] or 'unknown'}" + (" with changes" if of["uncommitted_changes"] else "")
        found.add((of["cpu"], *of["devices"].values(), code))
    return ["measured on " + ", ".join(dict.fromkeys(one)) for one in sorted(found)]

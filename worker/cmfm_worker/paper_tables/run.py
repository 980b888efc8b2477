"""A whole run: loads finished experiments, runs the missing ones, then writes the tables and the report."""

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
from cmfm_worker.paper_tables.experiments import Experiment, RunOptions, plan_experiments
from cmfm_worker.paper_tables.figures import Results
from cmfm_worker.paper_tables.paper import EYECANDIES, MVTEC_3D
from cmfm_worker.paper_tables.print_tables import PrintedTable, as_csv, as_json, as_markdown, print_table
from cmfm_worker.paper_tables.report import render_report
from cmfm_worker.paper_tables.store import EXPERIMENTS, Store
from cmfm_worker.paper_tables.tables import TABLES, PaperTable, variants_of
from cmfm_worker.paper_tables.variants import VARIANTS

MARKDOWN: Final = "tables.md"
CSV: Final = "tables.csv"
JSON: Final = "tables.json"
REPORT: Final = "report.html"

OF_IMAGE_EXTRACTORS: Final = 10
"""Number of the table that compares 2D extractors."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The experiments of a run, the experiment of each variant, and their inputs."""

    options: RunOptions
    tables: tuple[PaperTable, ...]
    experiments: tuple[Experiment, ...]
    served: dict[str, str]
    inputs: Inputs


@dataclass(slots=True)
class RunState:
    """The progress of a run.

    `done` holds the figures of finished experiments by (category, name), `problems` the reason why others failed, by
    title, and `outdated` the titles of stored experiments whose parts have changed since.
    """

    done: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    outdated: list[str] = field(default_factory=list)


def tables_for(
    categories: Iterable[str], preset: Preset, asked: Sequence[int] | None = None
) -> tuple[PaperTable, ...]:
    """Return the tables asked for; by default those that the paper made on this data set, or all on any other.

    `classic` has no 2D extractors to compare: that table is left out by default, and InputError if it is asked for.
    """
    if asked is not None:
        if preset == "classic" and OF_IMAGE_EXTRACTORS in asked:
            raise InputError(
                f"--tables: table {OF_IMAGE_EXTRACTORS} compares 2D extractors, but `classic` has none; leave it out, "
                "or give --extractors paper"
            )
        return tuple(TABLES[number] for number in sorted(set(asked)))
    names = set(categories)
    other = {"mvtec3d"} if names <= set(EYECANDIES) else {"eyecandies"} if names <= set(MVTEC_3D) else set()
    left_out = {OF_IMAGE_EXTRACTORS} if preset == "classic" else set[int]()
    return tuple(t for t in TABLES.values() if t.dataset not in other and t.number not in left_out)


def make_plan(options: RunOptions, tables: tuple[PaperTable, ...], skip: Iterable[str] = ()) -> Plan:
    """Plan the experiments; those that draw more parts than there are are left out (`Inputs.left_out`).

    Raises InputError or DatasetError, before any work, if something is missing.
    """
    without = set(skip)
    wanted = [VARIANTS[name] for name in variants_of(tables) if name not in without]
    experiments, served = plan_experiments(wanted, options)
    inputs = check_run(experiments, options)
    can_run = tuple(experiment for experiment in experiments if experiment.title not in inputs.left_out)
    return Plan(options, tables, can_run, served, inputs)


def load_finished(plan: Plan, store: Store, state: RunState) -> list[Experiment]:
    """Load the experiments that an earlier run finished. Return those that are left.

    Raises InputError if the folder holds experiments with other settings. They may have taken days, so they are never
    overwritten.
    """
    _refuse_other_run(plan, store)
    left = []
    for experiment in plan.experiments:
        stored = store.load(experiment, plan.inputs.of(experiment))
        if stored is None:
            left.append(experiment)
            if store.outdated(experiment, plan.inputs.of(experiment)):
                state.outdated.append(experiment.title)
        else:
            state.done[experiment.category, experiment.name] = stored
    return left


def _refuse_other_run(plan: Plan, store: Store) -> None:
    others = [
        (experiment, differences)
        for experiment in plan.experiments
        if (differences := store.differences(experiment, plan.inputs.of(experiment)))
    ]
    if others:
        experiment, differences = others[0]
        more = f" (and {len(others) - 1} more experiments)" if len(others) > 1 else ""
        raise InputError(
            f"--out {store.folder} holds another run: of {experiment.title}, {'; '.join(differences)}{more}. Give "
            f"another --out, or delete {store.folder / EXPERIMENTS} to run all again"
        )


def run_experiments(
    plan: Plan,
    left: Sequence[Experiment],
    engine: Engine,
    store: Store,
    state: RunState,
    ended: Callable[[Experiment], None],
) -> None:
    """Run the experiments that are left; each is stored as soon as it is finished."""
    for end in engine.run(left, plan.options):
        if end.result is None:
            state.problems[end.experiment.title] = end.problem
        else:
            stored = store.save(end.experiment, plan.inputs.of(end.experiment), end.result)
            state.done[end.experiment.category, end.experiment.name] = stored
        ended(end.experiment)


def write_outcome(plan: Plan, store: Store, state: RunState, *, report: bool) -> list[PrintedTable]:
    """Write the tables, and with `report` the report, from the experiments finished so far."""
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
    """List what a reader must know besides the numbers."""
    options = plan.options
    epochs = {experiment.name: experiment.settings.epochs for experiment in plan.experiments}
    notes = [
        f"{options.root.resolve().name}: {len(options.categories)} categories ({', '.join(options.categories)})",
        f"extractors: {_extractors(options)}; scores and maps normalised as: {options.scores_by}; seed {options.seed}",
        "epochs: " + ", ".join(f"{name} {count}" for name, count in sorted(epochs.items())),
        *_taught_otherwise(options),
        *_unknown_weights(plan.inputs),
        *_served_by_another(plan),
        *_machines(state),
    ]
    if len(state.done) < len(plan.experiments):
        notes.append(
            f"{len(state.done)} of {len(plan.experiments)} experiments are finished; repeat the command to continue"
        )
    notes += [f"{title}: not measured: {why}" for title, why in plan.inputs.left_out.items()]
    notes += plan.inputs.remarks
    notes += [f"{title}: {problem}" for title, problem in state.problems.items()]
    notes += [
        f"{category} / {name}: left out {part}: {why}"
        for (category, name), experiment in state.done.items()
        for part, why in {**experiment["not_inspected"], **experiment["torn"]}.items()
    ]
    return notes


def _extractors(options: RunOptions) -> str:
    if options.preset == "classic":
        return "classic"
    return f"{options.preset}, {options.group_size} points a group, {options.precision}"


def _taught_otherwise(options: RunOptions) -> Iterator[str]:
    if options.pixels_per_image is not None:
        yield f"fitted on {options.pixels_per_image} pixels of a part in an epoch, drawn again in each epoch"
    if options.background.method == "none":
        yield "the background is not removed"


def _unknown_weights(inputs: Inputs) -> Iterator[str]:
    """Name weights that are not the published ones; their numbers cannot be compared with the paper's."""
    for image, hashes in inputs.weights.items():
        for unknown in sorted(set(hashes) - KNOWN_HASHES.keys()):
            yield f"weights for {image}: unknown sha256 {unknown}; it is not one of the published files on record"


def _served_by_another(plan: Plan) -> list[str]:
    notes = [
        f"{variant} is the same as {name} with these extractors"
        for variant, name in plan.served.items()
        if variant != name
    ]
    unknown = [name for name in variants_of(plan.tables) if name not in plan.served]
    if unknown:
        notes.append(f"not measured (skipped, or not available with these extractors): {', '.join(unknown)}")
    return notes


def _machines(state: RunState) -> list[str]:
    """Name the machines and commits that the experiments were run with."""
    found = set[tuple[str, ...]]()
    for of in (experiment["provenance"] for experiment in state.done.values()):
        code = f"commit {of['commit'] or 'unknown'}" + (" with changes" if of["uncommitted_changes"] else "")
        found.add((of["cpu"], *of["devices"].values(), code))
    return ["measured on " + ", ".join(dict.fromkeys(one)) for one in sorted(found)]

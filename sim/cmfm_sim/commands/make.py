"""`cmfm-sim make`: writes a synthetic data set in MVTec 3D-AD layout."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cmfm_protocol.files.dataset import DatasetError
from cmfm_protocol.files.outputs import require_writable_folder
from cmfm_sim.datasets.families import FAMILIES, all_categories, family_of
from cmfm_sim.datasets.preview import write_preview
from cmfm_sim.datasets.synthetic import CATEGORIES, MAX_SIZE_PX, MIN_SIZE_PX
from cmfm_sim.datasets.write import MARKER, write_dataset
from cmfm_sim.stdout import stdout_console


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of parts a category: nominal ones in each split, and defective test parts of each kind."""

    train: int
    validation: int
    good: int
    per_defect: int

    @classmethod
    def scaled(cls, train: int) -> "Counts":
        """The proportions of a data set with that many train parts.

        Validation is half of it, because the threshold is a quantile of validation scores: 20 parts support a
        false-reject rate of 1 in 21 at best.
        """
        return cls(train, max(3, train // 2), max(2, train // 4), max(1, train // 8))


def make(
    out: Annotated[
        Path, typer.Option("--out", help="Folder to write the data set into.", show_default=False)
    ],
    parts: Annotated[
        int,
        typer.Option(
            "--parts", min=1, help="Good parts to teach from, a category. The other splits scale with it."
        ),
    ] = 40,
    categories: Annotated[
        str,
        typer.Option(
            "--categories", help=f"Products to make, separated by commas: {', '.join(all_categories())}."
        ),
    ] = ",".join(CATEGORIES),
    size: Annotated[
        int, typer.Option("--size", min=MIN_SIZE_PX, max=MAX_SIZE_PX, help="Side of the pictures in pixels.")
    ] = 400,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed writes the same parts.")] = 0,
    jobs: Annotated[
        int,
        typer.Option("--jobs", min=0, help="Number of parts made at a time; 0 takes one for each CPU core."),
    ] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Write also into a folder that holds something else.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Write a synthetic data set in MVTec 3D-AD layout.

    The colour and the shape of its parts vary together. There are good parts to
    teach from, and a test split with seven or more kinds of defect and their
    ground truth. preview.png in the folder shows them. Products of the second
    family are made in another way and only confirm results: fruit, gear, insole,
    seal, tile.
    """
    chosen = tuple(dict.fromkeys(name.strip() for name in categories.split(",") if name.strip()))
    _check_folder(out, force)
    require_writable_folder(out)
    counts = Counts.scaled(parts)
    _write(out, chosen, counts, size=size, seed=seed, jobs=jobs or os.cpu_count() or 1)
    write_preview(out, chosen, out / "preview.png")
    _report(out, chosen, counts, seed, as_json)


def _check_folder(out: Path, force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise DatasetError(f"--out {out} is a file; expected a folder")
    ours = (out / MARKER).is_file()
    if out.is_dir() and any(out.iterdir()) and not ours and not force:
        raise DatasetError(
            f"--out {out} is not empty and no synthetic data set (no {MARKER} in it); "
            "choose another folder, or --force to write into this one"
        )


def _write(out: Path, categories: Sequence[str], counts: Counts, *, size: int, seed: int, jobs: int) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("parts"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Making parts", total=None, visible=False)
        write_dataset(
            out,
            categories=categories,
            train=counts.train,
            validation=counts.validation,
            good=counts.good,
            per_defect=counts.per_defect,
            seed=seed,
            size_px=size,
            progress=lambda done, total: bar.update(task, completed=done, total=total, visible=True),
            jobs=jobs,
        )


def _report(out: Path, categories: Sequence[str], counts: Counts, seed: int, as_json: bool) -> None:
    tests = {
        name: {"good": counts.good, **dict.fromkeys(family_of(name).defects, counts.per_defect)}
        for name in categories
    }
    if as_json:
        nominal = {"train": counts.train, "validation": counts.validation}
        summary = {
            "root": str(out),
            "preview": str(out / "preview.png"),
            "seed": seed,
            "categories": {name: nominal | {"test": test} for name, test in tests.items()},
        }
        typer.echo(json.dumps(summary, indent=2))
        return
    console = stdout_console()
    console.print("Parts written; the columns from 'good' on are the test split:", highlight=False)
    for family in FAMILIES.values():
        if chosen := [name for name in categories if name in family.categories]:
            console.print(_table(chosen, tests[chosen[0]], counts))
    console.print(f"Pictures of it: {out / 'preview.png'}", soft_wrap=True, highlight=False)


def _table(categories: Sequence[str], test: dict[str, int], counts: Counts) -> Table:
    # Without lines it fits 80 columns.
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("category")
    for name in ("train", "valid.", *test):
        table.add_column(name, justify="right")
    for category in categories:
        table.add_row(category, *(str(n) for n in (counts.train, counts.validation, *test.values())))
    return table

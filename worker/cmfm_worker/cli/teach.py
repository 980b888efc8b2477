"""`cmfm-worker teach`: teaches a product from the parts that a line collected, and puts the recipe in use."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from cmfm_worker.cli import options
from cmfm_worker.cli.control_client import OwnKey, ServerKey
from cmfm_worker.cli.fit import STAGES as FIT_STAGES

if TYPE_CHECKING:
    from cmfm_worker.settings.model import Settings

STAGES: Final = {"read": "reading", **FIT_STAGES, "preview": "preview"}


def teach(
    product: Annotated[str, typer.Option(help="Name of the product.", show_default=False)],
    config: Annotated[
        Path, typer.Option("--config", help="Settings file of the line (TOML).", show_default=False)
    ],
    from_collected: Annotated[
        bool,
        typer.Option(
            "--from-collected", help="Teach from the product's good parts under [collected] folder."
        ),
    ] = False,
    use: Annotated[
        bool,
        typer.Option(
            "--use",
            help="Put the recipe that was taught in use: copy it to [recipes] folder and have the line load it.",
        ),
    ] = False,
    recipe: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the recipe. Default: the product's.", show_default=False),
    ] = None,
    extractors: Annotated[
        Literal["lite", "classic"], typer.Option(help="As for `cmfm-worker fit`.")
    ] = "lite",
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="As for `cmfm-worker fit`. Default: the preset's.", show_default=False
        ),
    ] = None,
    target_false_reject_rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE", help="Share of good parts that may FAIL. Default: 0.05.", show_default=False
        ),
    ] = None,
    simulated_defects: options.SimulatedDefects = 120,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            "--leave-out",
            metavar="PART",
            help="Note that this collected part is not to be taught from, because it is mislabelled. Repeatable.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="S", help="Random seed.")] = 0,
    by: options.By = None,
    why: options.Why = "",
    key: OwnKey = None,
    server_key: ServerKey = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print progress and result as JSON, one object a line.")
    ] = False,
) -> None:
    """Teach a product from the parts that the running line collected, and put the recipe in use.

    Runs beside the line: at low priority, on the CPU, with the processors that the line leaves. The recipe is written
    to a folder that the line does not load (.taught under [recipes] folder) and appears there complete; nothing changes
    on the line until `--use`. Ends with the tables of `fit`, and with what the recipe would have decided about the
    parts of the last hour. Bad parts among the collected ones are only measured.
    """
    if not from_collected and not use:
        raise typer.BadParameter(
            "give --from-collected to teach, --use to put what was taught in use, or both"
        )
    if target_false_reject_rate is not None and not 0 < target_false_reject_rate < 1:
        raise typer.BadParameter("must lie between 0 and 1", param_hint="--target-false-reject-rate")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leaves nothing half written
    from cmfm_worker.cli.low_priority import step_back
    from cmfm_worker.recipes.versions import this_user
    from cmfm_worker.settings.load import load_settings

    settings, name, who = load_settings(config), recipe or product, by or this_user()
    if from_collected:
        step_back()
        _leave_out(settings, product, leave_out or [], who, why)
        _teach(
            settings,
            product,
            name,
            extractors=extractors,
            epochs=epochs,
            rate=target_false_reject_rate,
            simulated=simulated_defects,
            seed=seed,
            as_json=json,
        )
    if use:
        from cmfm_worker.cli.use_taught import use_taught

        use_taught(settings, name, who, why or f"taught from {product}", key, server_key, as_json=json)


def _leave_out(settings: "Settings", product: str, parts: list[str], who: str, why: str) -> None:
    from cmfm_records.collected import choose

    for part in parts:
        choose(settings.collected.folder, product, part, "left_out", who, why, why="left out when teaching")


def _teach(
    settings: "Settings",
    product: str,
    name: str,
    *,
    extractors: Literal["lite", "classic"],
    epochs: int | None,
    rate: float | None,
    simulated: int,
    seed: int,
    as_json: bool,
) -> None:
    """Teach, look at the outcome, and write the recipe to the folder of taught ones. Raises InputError."""
    from cmfm_worker.cli.console import progress_bars, remark, remark_impossible
    from cmfm_worker.cli.json_lines import json_progress, print_line
    from cmfm_worker.recipes.taught import teaching

    with teaching(settings.recipes.folder, name) as target:
        with json_progress(STAGES) if as_json else progress_bars(STAGES) as progress:
            progress("start", 0, 1)  # what follows is imported for seconds
            import torch

            from cmfm_records.collected import read_product
            from cmfm_worker.cli.low_priority import spare_threads
            from cmfm_worker.cli.taught_report import TaughtReport
            from cmfm_worker.recipes.choices import with_choices_of
            from cmfm_worker.recipes.extractors import build_extractor
            from cmfm_worker.recipes.folder import save_recipe
            from cmfm_worker.recipes.recipe_path import recipe_path
            from cmfm_worker.teaching.from_collected import teach_collected
            from cmfm_worker.teaching.options import TeachOptions

            torch.set_num_threads(spare_threads(settings))
            extractor = build_extractor(extractors, settings.weights.folder, device=torch.device("cpu"))
            progress("start", 1, 1)
            found = teach_collected(
                extractor,
                read_product(settings.collected.folder, product),
                settings.kept.folder,
                name,
                TeachOptions("collected", product, seed=seed, epochs=epochs, target_false_reject_rate=rate),
                simulated=simulated,
                progress=progress,
            )
        report = TaughtReport(product, name, found)
        draft, kept = with_choices_of(recipe_path(settings.recipes.folder, name), found.taught.draft)
        loaded = save_recipe(target, draft, found.taught.mapping, replace=True, report=report.write)
    if as_json:
        print_line("taught", **report.figures(loaded))
        return
    remark_impossible(found.taught.impossible)
    report.show(loaded)
    for line in (*kept, *report.remarks, report.gain):
        remark(line)

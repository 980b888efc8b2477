"""`cmfm-worker replay-part`: inspects an archived part again and compares the outcome bit for bit."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cmfm_worker.inspection.inspector import BuildExtractor
    from cmfm_worker.line.replay import Comparison

NOT_EQUAL = 1


def replay_part(
    part: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="boot_id/result_id, or the folder of an archived part.", show_default=False
        ),
    ],
    config: Annotated[
        Path, typer.Option("--config", help="Settings file of the line (TOML).", show_default=False)
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Inspect an archived part again and compare verdict, score and maps with the recorded ones.

    Uses the frame archived under [kept] folder, the recorded recipe and number of CPU threads, and the line's device.
    If the recipe has changed since, the version that decided is used; without one the part is refused. Exit code 0: all
    is equal bit for bit; 1: something differs; 2: the part or its recipe cannot be used.
    """
    raise typer.Exit(0 if replay_archived(part, config, as_json=json) else NOT_EQUAL)


def replay_archived(
    part: str, config: Path, *, as_json: bool = False, build: "BuildExtractor | None" = None
) -> bool:
    """Replay a part and print the comparison. Returns True if all is equal. `build` None builds the recipe's extractor.

    Raises InputError if the part or its recipe cannot be used.
    """
    import torch

    from cmfm_records.archived_part import read_archived_part
    from cmfm_worker.cli.console import print_json
    from cmfm_worker.line.compute.device import choose_device
    from cmfm_worker.line.health.threads import computing_threads
    from cmfm_worker.line.replay import check_against_ledger, find_part, recorded_model, replay
    from cmfm_worker.recipes.extractors import extractor_of
    from cmfm_worker.settings.load import load_settings

    settings = load_settings(config)
    archived = read_archived_part(find_part(part, settings))
    in_ledger = check_against_ledger(archived.facts, settings)
    device = choose_device(settings.device.name)
    torch.set_num_threads(archived.threads or computing_threads(settings.device.threads))
    model = recorded_model(archived.facts, settings, device, build or extractor_of)
    compared = replay(archived, model, device)
    facts = archived.facts
    name = f"{facts['boot_id']}/{facts['result_id']}"
    if as_json:
        print_json({"part": name, "in_ledger": in_ledger, "equal": compared.equal, **asdict(compared)})
    else:
        typer.echo(f"part      {name} (part_id {facts['part_id']!r}, recipe {facts['recipe']!r})")
        show(compared)
    return compared.equal


def show(compared: "Comparison") -> None:
    """Print both outcomes and whether they are equal."""
    maps = {True: ", maps equal", False: ", maps differ", None: ""}[compared.maps_equal]
    typer.echo(f"recorded  {compared.recorded.text()}")
    typer.echo(f"replayed  {compared.replayed.text()}")
    typer.echo("equal, bit for bit" + maps if compared.equal else "NOT EQUAL" + maps)
    for remark in compared.remarks:
        typer.echo(f"note      {remark}")

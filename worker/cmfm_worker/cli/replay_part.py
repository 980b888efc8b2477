"""`cmfm-worker replay-part`: inspect a kept part again and say whether the outcome is the same, bit for bit."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cmfm_worker.line.replay import Comparison

NOT_EQUAL = 1


def replay_part(
    part: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="boot_id/result_id, or the folder of a kept part.", show_default=False
        ),
    ],
    config: Annotated[
        Path, typer.Option("--config", help="The settings of the line (TOML).", show_default=False)
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Inspect a kept part again and compare verdict, score and maps with those recorded.

    Uses the frame kept under [kept] folder, the recipe and the number of CPU threads of that time (a recipe
    that has changed is refused), and the line's device. Exit code 0 only where all is equal bit for bit, 1
    where something differs, 2 where the part or its recipe cannot be used.
    """
    import torch

    from cmfm_worker.cli.console import print_json
    from cmfm_worker.line.compute.device import choose_device
    from cmfm_worker.line.health.threads import computing_threads
    from cmfm_worker.line.records.archive_folder import read_archived_part
    from cmfm_worker.line.replay import check_against_ledger, find_part, recorded_model, replay
    from cmfm_worker.settings.load import load_settings

    settings = load_settings(config)
    kept = read_archived_part(find_part(part, settings))
    in_ledger = check_against_ledger(kept.facts, settings)
    device = choose_device(settings.device.name)
    torch.set_num_threads(kept.threads or computing_threads(settings.device.threads))
    compared = replay(kept, recorded_model(kept.facts, settings, device), device)
    name = f"{kept.facts['boot_id']}/{kept.facts['result_id']}"
    if json:
        print_json({"part": name, "in_ledger": in_ledger, "equal": compared.equal, **asdict(compared)})
    else:
        typer.echo(f"part      {name} (part_id {kept.facts['part_id']!r}, recipe {kept.facts['recipe']!r})")
        show(compared)
    raise typer.Exit(0 if compared.equal else NOT_EQUAL)


def show(compared: "Comparison") -> None:
    """Both outcomes and the answer."""
    maps = {True: ", maps equal", False: ", maps differ", None: ""}[compared.maps_equal]
    typer.echo(f"recorded  {compared.recorded.text()}")
    typer.echo(f"replayed  {compared.replayed.text()}")
    typer.echo("equal, bit for bit" + maps if compared.equal else "NOT EQUAL" + maps)
    for remark in compared.remarks:
        typer.echo(f"note      {remark}")

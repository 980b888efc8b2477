"""`cmfm-camera trigger` and its commands."""

import json as json_format
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="trigger",
    no_args_is_help=True,
    add_completion=False,
    help="Announce the parts of a photo-eye ahead of their frames.\n\n`cmfm-camera trigger --config trigger.toml` runs "
    "it. Edges come by Modbus TCP or a GPIO line. A part whose frame never comes then is a FAULT by its own deadline.",
)


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Run the photo-eye with these settings (TOML).", show_default=False),
    ] = None,
) -> None:
    """Run the photo-eye, unless a command is given."""
    if context.invoked_subcommand is not None:
        if config is not None:
            raise typer.BadParameter(
                f"--config goes after the command: trigger {context.invoked_subcommand} --config …"
            )
        return
    if config is None:
        raise typer.BadParameter("--config trigger.toml is missing")
    from cmfm_cameras.photo_eye.run import run_trigger

    raise typer.Exit(run_trigger(config))


@app.command()
def check(
    config: Annotated[
        Path, typer.Option("--config", help="The photo-eye's settings (TOML).", show_default=False)
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False,
) -> None:
    """Explain the settings of a photo-eye without opening its input."""
    from rich.console import Console
    from rich.markup import escape

    from cmfm_cameras.errors import ExitCode
    from cmfm_cameras.photo_eye.problems import problems_of
    from cmfm_cameras.settings.trigger import load_with_sources
    from cmfm_settings.explain import as_json, print_settings

    loaded = load_with_sources(config)
    problems, console = problems_of(loaded.settings), Console()
    if json:
        console.print_json(json_format.dumps({"settings": as_json(loaded), "problems": problems}))
    else:
        print_settings(console, loaded, config)
        console.print()
        for problem in problems:
            console.print(f"[red]problem:[/] {escape(problem)}", highlight=False, soft_wrap=True)
        if not problems:
            console.print("[green]This photo-eye can run, if its input is there.[/]")
    raise typer.Exit(int(ExitCode.BAD_INPUT if problems else ExitCode.OK))


@app.command()
def example() -> None:
    """Print a settings file with every key, its description and its default."""
    from cmfm_cameras.settings.trigger import EXAMPLE_HEADING, TriggerSettings
    from cmfm_settings.example import example_file

    sys.stdout.write(example_file(TriggerSettings, EXAMPLE_HEADING))

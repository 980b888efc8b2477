"""`cmfm-camera trigger` and its commands."""

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
    from cmfm_cameras.errors import ExitCode
    from cmfm_cameras.photo_eye.problems import problems_of
    from cmfm_cameras.settings.trigger import load_with_sources
    from cmfm_settings.explain import report_check

    loaded = load_with_sources(config)
    problems = problems_of(loaded.settings)
    can_run = "This photo-eye can run, if its input is there."
    report_check(loaded, config, problems, json_format=json, can_run=can_run)
    raise typer.Exit(int(ExitCode.BAD_INPUT if problems else ExitCode.OK))


@app.command()
def example() -> None:
    """Print a settings file with every key, its description and its default."""
    from cmfm_cameras.settings.trigger import EXAMPLE_HEADING, TriggerSettings
    from cmfm_settings.example import example_file

    sys.stdout.write(example_file(TriggerSettings, EXAMPLE_HEADING))

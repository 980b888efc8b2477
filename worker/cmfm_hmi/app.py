"""`cmfm-hmi`: its commands, and the exit code of each error."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cmfm_client.errors import EndpointError
from cmfm_hmi import user_commands
from cmfm_hmi.errors import ExitCode, InputError, StartupError
from cmfm_protocol.files.key_files import KeyFileError
from cmfm_service.command_line import config_to_run
from cmfm_service.entry_point import run_command

EXIT_CODES = """Exit codes:

0  it worked

1  a bug of ours (with a traceback)

2  bad input or usage: the message names the file, key or option

3  the page could not start: its port is taken, its files cannot be written
"""

app = typer.Typer(
    name="cmfm-hmi",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog=EXIT_CODES,
    help="Serve the operator's page of an inspection line: live verdicts, rejects, trends, thresholds, teaching.\n\n"
    "`cmfm-hmi --config hmi.toml` runs it, `cmfm-hmi user add NAME --role ROLE` lets somebody in. It may be killed at "
    "any time; the line does not notice.",
)

app.add_typer(user_commands.app, name="user")

Config = Annotated[Path, typer.Option("--config", help="The page's settings (TOML).", show_default=False)]


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Serve the page with these settings (TOML).", show_default=False),
    ] = None,
) -> None:
    """Serve the page, unless a command is given."""
    file = config_to_run(context, config, "hmi.toml")
    if file is None:
        return
    from cmfm_hmi.run import run_hmi

    raise typer.Exit(run_hmi(file))


@app.command()
def check(
    config: Config,
    json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False,
) -> None:
    """Explain the settings of a page without running it."""
    from cmfm_hmi.check import check_hmi

    raise typer.Exit(check_hmi(config, json))


@app.command()
def example() -> None:
    """Print a settings file with every key, its description and its default."""
    from cmfm_hmi.settings.load import EXAMPLE_HEADING
    from cmfm_hmi.settings.model import HmiSettings
    from cmfm_settings.example import example_file

    sys.stdout.write(example_file(HmiSettings, EXAMPLE_HEADING))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `app`, by default on the process's arguments, and exit with an `ExitCode`: the entry point."""
    run_command("cmfm-hmi", app, exit_code, arguments)


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code of an error that ended a command; BUG unless the error is known."""
    if isinstance(error, InputError | KeyFileError | EndpointError):
        return ExitCode.BAD_INPUT
    return ExitCode.STARTUP if isinstance(error, StartupError) else ExitCode.BUG


if __name__ == "__main__":
    main()

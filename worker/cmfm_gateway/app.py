"""`cmfm-gateway`: its commands, and the exit code of each error."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cmfm_client.errors import EndpointError
from cmfm_gateway.errors import ExitCode, InputError, StartupError
from cmfm_gateway.opcua import commands as opcua_commands
from cmfm_protocol.files.key_files import KeyFileError
from cmfm_service.command_line import config_to_run
from cmfm_service.entry_point import run_command

EXIT_CODES = """Exit codes:

0  it worked

1  a bug of ours (with a traceback); `grade`: a case failed

2  bad input or usage: the message names the file, key or option

3  the gateway could not start: a port is taken, the store cannot be written
"""

app = typer.Typer(
    name="cmfm-gateway",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog=EXIT_CODES,
    help="Pass the verdicts of an inspection line to PLCs and MES: Modbus TCP, OPC UA, MQTT.\n\n"
    "`cmfm-gateway --config gateway.toml` runs it. It never turns silence into PASS: without the worker's state for "
    "2 s, with results missing, or for a stale result every output says *not valid*.",
)

app.add_typer(opcua_commands.app, name="opcua")


class SymbolFormat(StrEnum):
    """Formats of `symbols`."""

    CSV = "csv"
    MARKDOWN = "markdown"


class WordOrderOption(StrEnum):
    """Which register of a 32-bit value comes first."""

    HIGH_FIRST = "high_first"
    LOW_FIRST = "low_first"


Config = Annotated[Path, typer.Option("--config", help="The gateway's settings (TOML).", show_default=False)]


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Run the gateway with these settings (TOML).", show_default=False),
    ] = None,
) -> None:
    """Run the gateway, unless a command is given."""
    file = config_to_run(context, config, "gateway.toml")
    if file is None:
        return
    from cmfm_gateway.run import run_gateway

    raise typer.Exit(run_gateway(file))


@app.command()
def check(
    config: Config,
    json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False,
) -> None:
    """Explain the settings of a gateway without running it."""
    from cmfm_gateway.check import check_gateway

    raise typer.Exit(check_gateway(config, json))


@app.command()
def grade(
    host: Annotated[
        str, typer.Option(help="Address of the gateway; with --plc the address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Modbus TCP port.")] = 502,
    plc: Annotated[
        bool, typer.Option("--plc", help="Play the vision system and grade a PLC program that connects here.")
    ] = False,
    word_order: Annotated[
        WordOrderOption, typer.Option(help="As modbus.word_order.")
    ] = WordOrderOption.HIGH_FIRST,
    ack_s: Annotated[float, typer.Option(min=0.05, help="Limit for an acknowledge, as modbus.ack_s.")] = 1.0,
    part_s: Annotated[float, typer.Option(min=0.1, help="Longest wait for a part of the line.")] = 10.0,
    gate_s: Annotated[
        float, typer.Option(min=0.05, help="With --plc: time from the photo-eye to the program's decision.")
    ] = 2.0,
    beat_s: Annotated[
        float,
        typer.Option(min=0.05, help="With --plc: time in which the program notices a heartbeat that stops."),
    ] = 2.0,
) -> None:
    """Play a bad PLC against a running gateway, or (--plc) the vision system against a PLC program; report in words."""
    from cmfm_gateway.grade.command import run_against_gateway, run_against_plc

    if plc:
        raise typer.Exit(run_against_plc(host, port, word_order.value, (ack_s, gate_s, beat_s)))
    raise typer.Exit(run_against_gateway(host, port, word_order.value, ack_s, part_s))


@app.command()
def example() -> None:
    """Print a settings file with every key, its description and its default."""
    from cmfm_gateway.settings.load import EXAMPLE_HEADING
    from cmfm_gateway.settings.model import GatewaySettings
    from cmfm_settings.example import example_file

    sys.stdout.write(example_file(GatewaySettings, EXAMPLE_HEADING))


@app.command()
def symbols(
    modbus: Annotated[
        SymbolFormat,
        typer.Option("--modbus", help="Print the Modbus registers in this format.", show_default=False),
    ],
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Settings whose port the samples name (TOML).", show_default=False),
    ] = None,
) -> None:
    """Print the table of registers: for a PLC's import, or for people."""
    from cmfm_gateway.modbus.symbols import as_csv, as_markdown
    from cmfm_gateway.settings.load import load_with_sources
    from cmfm_gateway.settings.model import GatewaySettings

    settings = load_with_sources(config).settings if config else GatewaySettings()
    sys.stdout.write(as_csv() if modbus is SymbolFormat.CSV else as_markdown(settings.modbus))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `app`, by default on the process's arguments, and exit with an `ExitCode`: the entry point."""
    run_command("cmfm-gateway", app, exit_code, arguments)


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code of an error that ended a command; BUG unless the error is known."""
    if isinstance(error, InputError | KeyFileError | EndpointError):
        return ExitCode.BAD_INPUT
    return ExitCode.STARTUP if isinstance(error, StartupError) else ExitCode.BUG


if __name__ == "__main__":
    main()

"""`cmfm-worker`: its commands, and the exit code of each error.

No command module imports torch or timm before it needs them, so that `--help` is quick.
"""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cmfm_service.command_line import config_to_run
from cmfm_service.entry_point import run_command
from cmfm_worker.cli import (
    bench,
    calibrate,
    collect,
    doctor,
    evaluate,
    fit,
    import_,
    inspect,
    keys,
    ledger,
    prepare,
    recipe,
    replay_part,
    teach,
    weights,
)
from cmfm_worker.errors import ExitCode, HungDeviceError, InputError, LostDeviceError, StartupError
from cmfm_worker.line.health.threads import wait_briefly

EXIT_CODES = """Exit codes:

0  it worked

1  a bug of ours (with a traceback), or a second signal that cut the drain short; `doctor`: something is to be done

2  bad input or usage: the message names the file, key or option

3  the line could not start: a port is taken, the ledger cannot be written

4  the accelerator was lost: start the process again

5  a computation hung ([device] hang_limit_s); its parts got their FAULT: start the process again
"""

_BAD_INPUT_ELSEWHERE = frozenset({"DatasetError", "KeyFileError", "OutputError", "WeightsError"})
"""Bad input, by the error's name in the packages below: importing the classes would load torch."""

app = typer.Typer(
    name="cmfm-worker",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog=EXIT_CODES,
    help="Inspect parts from RGB and 3D frames by Crossmodal Feature Mapping.\n\n"
    "`cmfm-worker --config line.toml` runs the line. The commands below teach a recipe from good parts, "
    "try it on files, measure it on a data set, and look after settings and weights.",
)
app.command("fit")(fit.fit)
app.command("collect")(collect.collect)
app.command("teach")(teach.teach)
app.command("prepare")(prepare.prepare)
app.command("import")(import_.import_published)
app.command("calibrate")(calibrate.calibrate)
app.command("inspect")(inspect.inspect)
app.command("evaluate")(evaluate.evaluate)
app.command("bench", **bench.SETTINGS)(bench.bench)
app.command("doctor")(doctor.doctor)
app.command("ledger")(ledger.ledger)
app.command("replay-part")(replay_part.replay_part)
app.add_typer(recipe.app, name="recipe", short_help="List, compare, change and undo the recipes of a line.")
app.add_typer(keys.app, name="keys", short_help="Make the key files of a line that encrypts.")
app.add_typer(weights.app, name="weights", short_help="List, fetch, check and convert extractor weights.")

Config = Annotated[Path, typer.Option("--config", help="The line's settings (TOML).", show_default=False)]


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Run the line with these settings (TOML).", show_default=False),
    ] = None,
) -> None:
    """Run the line, unless a command is given."""
    file = config_to_run(context, config, "line.toml")
    if file is None:
        return
    # Until the service handles the signal: no frame has been accepted, and loading torch takes seconds.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.OK))
    from cmfm_worker.cli.run import run_line

    raise typer.Exit(run_line(file))


@app.command()
def check(
    config: Config,
    json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False,
) -> None:
    """Explain the settings of a line without running it."""
    from cmfm_worker.cli.check import check_line

    raise typer.Exit(check_line(config, json))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `app`, by default on the process's arguments, and exit with an `ExitCode`: the entry point."""
    wait_briefly()
    run_command("cmfm-worker", app, exit_code, arguments)


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code of an error that ended a command; BUG unless the error is known."""
    if isinstance(error, InputError) or is_bad_input_elsewhere(error):
        return ExitCode.BAD_INPUT
    if isinstance(error, StartupError):
        return ExitCode.STARTUP
    if isinstance(error, LostDeviceError):
        return ExitCode.LOST_DEVICE
    if isinstance(error, HungDeviceError):
        return ExitCode.HUNG_DEVICE
    return ExitCode.BUG


def is_bad_input_elsewhere(error: BaseException) -> bool:
    """Whether `cmfm_protocol` or `cfm` raised the error because of the user's files."""
    kinds = type(error).__mro__
    return any(
        kind.__name__ in _BAD_INPUT_ELSEWHERE and kind.__module__.startswith("cmfm_") for kind in kinds
    )

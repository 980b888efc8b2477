"""`cmfm-camera`: its commands, and the exit code of each error."""

import re
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cmfm_cameras.errors import (
    DeviceError,
    DeviceHungError,
    ExitCode,
    InputError,
    RefusedCaptureError,
    StartupError,
)
from cmfm_cameras.photo_eye.app import app as trigger_app
from cmfm_client.errors import BindError, EndpointError
from cmfm_protocol.files.dataset_error import DatasetError
from cmfm_protocol.files.key_files import KeyFileError
from cmfm_protocol.files.outputs import OutputError
from cmfm_service.command_line import config_to_run
from cmfm_service.entry_point import run_command

EXIT_CODES = """Exit codes:

0  it worked

1  a bug of ours (with a traceback)

2  bad input or usage: the message names the file, key or option

3  the camera could not start: its endpoint or a port is taken

4  the device: a call into its driver does not return; `look`, `record`: it is not there, or its frame is refused
"""

SQUARES = re.compile(r"([0-9]{1,3})x([0-9]{1,3})")


class BoardOption(StrEnum):
    """Boards of `calibrate`."""

    CHARUCO = "charuco"
    CHECKERBOARD = "checkerboard"


class Coefficients(StrEnum):
    """Distortion coefficients of `calibrate`."""

    FOUR = "4"
    FIVE = "5"
    EIGHT = "8"


app = typer.Typer(
    name="cmfm-camera",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog=EXIT_CODES,
    help="Publish a 3D camera's frames to `cmfm-worker`: a process of its own for each camera.\n\n"
    "`cmfm-camera --config camera.toml` runs it. It registers points to the picture, converts them to metres, marks "
    "what was not measured, opens a lost device again, and never uses a number twice.",
)

app.add_typer(trigger_app, name="trigger")

Config = Annotated[Path, typer.Option("--config", help="The camera's settings (TOML).", show_default=False)]


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Run the camera with these settings (TOML).", show_default=False),
    ] = None,
) -> None:
    """Run the camera, unless a command is given."""
    file = config_to_run(context, config, "camera.toml")
    if file is None:
        return
    from cmfm_cameras.run import run_camera

    raise typer.Exit(run_camera(file))


@app.command()
def check(
    config: Config,
    json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False,
) -> None:
    """Explain the settings of a camera without opening its device."""
    from cmfm_cameras.check import check_camera

    raise typer.Exit(check_camera(config, json))


@app.command()
def example() -> None:
    """Print a settings file with every key, its description and its default."""
    from cmfm_cameras.settings.load import EXAMPLE_HEADING
    from cmfm_cameras.settings.model import CameraSettings
    from cmfm_settings.example import example_file

    sys.stdout.write(example_file(CameraSettings, EXAMPLE_HEADING))


@app.command("list")
def list_(
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Settings that say where to look (TOML).", show_default=False),
    ] = None,
    kind: Annotated[str, typer.Option(help="List devices of this kind alone.", show_default=False)] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the devices that can be opened now, with the names that `camera.toml` gives them."""
    from cmfm_cameras.commands.list_devices import list_devices

    raise typer.Exit(list_devices(config, kind, json))


@app.command()
def look(
    config: Config,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("look"),
    limit_s: Annotated[float, typer.Option(min=0.1, help="Longest wait for a frame, in seconds.")] = 10.0,
) -> None:
    """Take one frame: files, a picture of colour, distance, coverage and registration, and its numbers."""
    from cmfm_cameras.commands.look import look as look_

    raise typer.Exit(look_(config, out, limit_s))


@app.command()
def record(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the frames, new or empty.")],
    config: Config,
    frames: Annotated[int | None, typer.Option(min=1, help="End after so many frames.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End after so many seconds.")] = None,
) -> None:
    """Record a device's frames as they come, with their times. `play` publishes them again."""
    from cmfm_cameras.commands.record import record as record_

    raise typer.Exit(record_(config, folder, frames, seconds))


@app.command()
def play(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `record` made.")],
    config: Config,
    speed: Annotated[
        float, typer.Option(min=0.001, max=1000, help="2: twice as fast as the frames came.")
    ] = 1.0,
    repeat: Annotated[bool, typer.Option("--repeat", help="Begin again at the end.")] = False,
) -> None:
    """Publish a recording as the camera of `camera.toml`: a line reproduced at a desk."""
    from cmfm_cameras.commands.play import play as play_

    raise typer.Exit(play_(config, folder, speed, repeat))


@app.command()
def calibrate(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder of views: NAME.picture.png, NAME.depth.png, NAME.xyz.tiff."
        ),
    ],
    squares: Annotated[
        str, typer.Option(metavar="CxR", help="Squares of the board: columns x rows, 9x7 for one.")
    ],
    square_mm: Annotated[float, typer.Option(min=0.1, max=1000, help="Side of a square in millimetres.")],
    out: Annotated[Path, typer.Option(help="File to write (TOML), for [two_devices] calibration.")],
    board: Annotated[BoardOption, typer.Option(help="Kind of board.")] = BoardOption.CHARUCO,
    marker_mm: Annotated[float, typer.Option(min=0, max=1000, help="Side of a ChArUco marker.")] = 0.0,
    dictionary: Annotated[str, typer.Option(help="Its markers, by OpenCV's name.")] = "DICT_5X5_100",
    legacy: Annotated[
        bool,
        typer.Option(
            "--legacy", help="A ChArUco board made by OpenCV before 4.6, with an even number of rows."
        ),
    ] = False,
    coefficients: Annotated[
        Coefficients, typer.Option(help="Distortion coefficients. 8 for wide lenses, with many views.")
    ] = Coefficients.FIVE,
    most_error_px: Annotated[
        float, typer.Option(min=0.01, max=100, help="Largest reprojection error that is accepted, in pixels.")
    ] = 1.0,
    calib_id: Annotated[str, typer.Option(help="Name of the calibration, for [camera] calib_id.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Calibrate a 2D camera and a depth sensor from pictures of a board that both see; refuse poor views."""
    from cmfm_cameras.calibration.board import Board
    from cmfm_cameras.calibration.command import run_calibrate

    shape = SQUARES.fullmatch(squares)
    if shape is None:
        raise typer.BadParameter("--squares: expected columns x rows, 9x7 for one")
    found = Board(
        board.value, int(shape[1]), int(shape[2]), square_mm / 1000, marker_mm / 1000, dictionary, legacy
    )
    options = {
        "coefficients": int(coefficients.value),
        "most_error_px": most_error_px,
        "calib_id": calib_id,
    }
    raise typer.Exit(run_calibrate(folder, found, out, options, json=json))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `app`, by default on the process's arguments, and exit with an `ExitCode`: the entry point."""
    run_command("cmfm-camera", app, exit_code, arguments)


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code of an error that ended a command; BUG unless the error is known."""
    if isinstance(error, InputError | KeyFileError | EndpointError | DatasetError | OutputError):
        return ExitCode.BAD_INPUT
    if isinstance(error, StartupError | BindError):
        return ExitCode.STARTUP
    return (
        ExitCode.DEVICE
        if isinstance(error, DeviceError | DeviceHungError | RefusedCaptureError)
        else ExitCode.BUG
    )


if __name__ == "__main__":
    main()

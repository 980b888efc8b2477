"""`cmfm-sim`: its commands and their exit codes."""

import sys

import typer

from cmfm_client.errors import ClientError, EndpointError, RecordError
from cmfm_protocol.files.dataset import DatasetError
from cmfm_protocol.files.key_files import KeyFileError
from cmfm_protocol.files.outputs import OutputError
from cmfm_protocol.files.terminal import escape_unencodable_output, not_utf8
from cmfm_protocol.wire.errors import ProtocolError
from cmfm_sim.commands import chaos, conform, demo, make, record, replay, rough_camera, watch
from cmfm_sim.errors import FailedError, InputError

FAILED, BAD_INPUT = 1, 2

EXIT_CODES = """Exit codes:

0  success

1  failure: no subscriber, a dead process, (demo, chaos, replay --results) an account that does not add up, or
   (conform) a camera that does not follow WIRE.md

2  bad input or usage; the message names the option, file or endpoint
"""

app = typer.Typer(
    name="cmfm-sim",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog=EXIT_CODES,
    help="Simulate an inspection line: synthetic parts, a camera, a viewer and a recorder of verdicts.\n\n"
    "`demo` runs the whole line on this machine and needs nothing else. `make` writes a data set of synthetic parts. "
    "`replay` sends a data set's parts to a running `cmfm-worker` as a camera would. `watch` shows its verdicts as "
    "they come, `record` writes them to a file. `conform` checks your own camera against WIRE.md. `chaos` runs a line "
    "under faults of every kind and checks its account from outside.",
)
app.command("chaos")(chaos.chaos)
app.command("conform")(conform.conform)
app.command("demo")(demo.demo)
app.command("make")(make.make)
app.command("record")(record.record)
app.command("replay")(replay.replay)
app.command("rough-camera", hidden=True)(rough_camera.rough_camera)
app.command("watch")(watch.watch)


def main() -> None:
    """Entry point of `cmfm-sim`: runs `app` and exits with 0, 1 or 2 as `--help` says."""
    escape_unencodable_output()
    if problem := not_utf8(sys.argv[1:]):
        sys.stderr.write(f"cmfm-sim: {problem}\n")
        sys.exit(BAD_INPUT)
    try:
        app()
    except (
        InputError,
        DatasetError,
        KeyFileError,
        OutputError,
        ProtocolError,
        EndpointError,
        RecordError,
    ) as error:
        _exit(BAD_INPUT, error)
    except (FailedError, ClientError) as error:
        _exit(FAILED, error)


def _exit(code: int, error: Exception) -> None:
    sys.stderr.write(f"cmfm-sim: {error}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()

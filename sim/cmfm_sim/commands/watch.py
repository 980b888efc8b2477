"""`cmfm-sim watch`: shows verdicts as they come."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cmfm_client.result_log import ResultLog
from cmfm_client.sockets import check_endpoint
from cmfm_client.subscriber import ALL_TOPICS, ResultSubscriber, SubscriberOptions
from cmfm_protocol.files.outputs import require_writable_folder, require_writable_with_folder
from cmfm_sim.errors import FailedError
from cmfm_sim.key_options import OwnKey, ServerKey, client_keys
from cmfm_sim.pictures import RejectPictures
from cmfm_sim.stdout import stdout_console
from cmfm_sim.stopping import stop_on_signals
from cmfm_sim.watch import JsonDisplay, TextDisplay
from cmfm_sim.watch import watch as run


def watch(
    endpoint: Annotated[
        str,
        typer.Option(
            "--endpoint", help="The worker's results endpoint (results under sockets in line.toml)."
        ),
    ] = "tcp://127.0.0.1:5556",
    maps_endpoint: Annotated[
        str,
        typer.Option(
            "--maps-endpoint",
            help="The worker's maps endpoint. Default with --save: tcp://127.0.0.1:5557.",
            show_default=False,
        ),
    ] = "",
    recover_endpoint: Annotated[
        str,
        typer.Option(
            "--recover-endpoint",
            help="The worker's recovery endpoint, to ask for missed results. Default: gaps are only reported.",
            show_default=False,
        ),
    ] = "",
    from_start: Annotated[
        bool,
        typer.Option("--from-start", help="Also show results from before now (with --recover-endpoint)."),
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            help="Write every result to this file, a JSON object a line, and continue it after a restart. With "
            "--recover-endpoint the record is complete and has each result once.",
            show_default=False,
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--count",
            min=1,
            help="Number of verdicts after which to end. Default: Ctrl-C ends.",
            show_default=False,
        ),
    ] = None,
    timeout_s: Annotated[
        float | None,
        typer.Option(
            "--timeout-s", min=0, help="Time after which to end; exit code 1 if --count was not reached."
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Folder for a picture of every rejected part.", show_default=False),
    ] = None,
    key: OwnKey = None,
    server_key: ServerKey = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line instead of text.")
    ] = False,
) -> None:
    """Show a worker's verdicts as they come.

    Each line has the verdict, number and name of the part, score against
    threshold, time from trigger to verdict, the camera's name, and the reason if
    the part was not inspected.
    """
    if save is not None and not maps_endpoint:
        maps_endpoint = "tcp://127.0.0.1:5557"
    require_writable_with_folder(record)
    if save is not None:
        require_writable_folder(save)
    console = stdout_console()
    text = TextDisplay(console)
    pictures = RejectPictures(save) if save is not None else None
    keys = client_keys(key, server_key)
    for option, given in (
        ("--endpoint", endpoint),
        ("--maps-endpoint", maps_endpoint),
        ("--recover-endpoint", recover_endpoint),
    ):
        if given:
            check_endpoint(given, option)
    options = SubscriberOptions(endpoint, maps_endpoint, recover_endpoint, ALL_TOPICS, from_start, keys)
    with (
        stop_on_signals() as stop,
        ResultLog(record, resume=True, from_start=from_start) as log,
        ResultSubscriber(replace(options, received=log.received)) as subscriber,
    ):
        if not as_json:
            console.print(f"watching {endpoint} (Ctrl-C ends)", style="dim")
        seen = run(
            subscriber,
            JsonDisplay() if as_json else text,
            pictures=pictures,
            log=log,
            count=count,
            timeout_s=timeout_s,
            stopped=stop.is_set,
        )
        interrupted = stop.is_set()
    if not as_json:
        console.print(text.totals())
        if pictures is not None:
            console.print(f"{len(pictures.saved)} pictures in {save}", style="dim")
    if count is not None and seen < count and not interrupted:
        raise FailedError(f"{seen} of {count} verdicts came within {timeout_s:g} s")

"""`cmfm-sim record`: keeps a durable record of a worker's verdicts."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cmfm_client.result_log import ResultLog
from cmfm_client.sockets import check_endpoint
from cmfm_client.subscriber import ALL_TOPICS, ResultSubscriber, SubscriberOptions
from cmfm_protocol.files.outputs import require_writable_with_folder
from cmfm_sim.key_options import OwnKey, ServerKey, client_keys
from cmfm_sim.recording import EventLog, Recording
from cmfm_sim.stopping import stop_on_signals


def record(
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="The record, a JSON object a line; continued if it exists.", show_default=False
        ),
    ],
    endpoint: Annotated[
        str,
        typer.Option(
            "--endpoint", help="The worker's results endpoint (results under sockets in line.toml)."
        ),
    ] = "tcp://127.0.0.1:5556",
    recover_endpoint: Annotated[
        str,
        typer.Option(
            "--recover-endpoint",
            help="The worker's recovery endpoint, to ask for missed results (recovery under sockets in line.toml).",
        ),
    ] = "tcp://127.0.0.1:5558",
    events: Annotated[
        Path | None,
        typer.Option(
            "--events",
            help="File for changes of the worker's state and of the connection, a JSON object a line.",
            show_default=False,
        ),
    ] = None,
    key: OwnKey = None,
    server_key: ServerKey = None,
) -> None:
    """Write every verdict of a worker to a file, each once.

    May be stopped, killed and started again at any time: it continues its own
    file and asks the worker for what it missed. Ends in order on Ctrl-C.
    """
    check_endpoint(endpoint, "--endpoint")
    check_endpoint(recover_endpoint, "--recover-endpoint")
    require_writable_with_folder(out, events)
    options = SubscriberOptions(
        endpoint,
        recovery=recover_endpoint,
        topics=ALL_TOPICS,
        from_start=True,
        keys=client_keys(key, server_key),
    )
    with (
        stop_on_signals() as stop,
        ResultLog(out, resume=True, from_start=True) as log,
        ResultSubscriber(replace(options, received=log.received)) as subscriber,
    ):
        changes = EventLog(events) if events is not None else None
        recording = Recording(subscriber, log, changes)
        try:
            recording.run(stop.is_set)
        finally:
            if changes is not None:
                changes.close()
    typer.echo(f"{recording.results} results recorded in {out}", err=True)

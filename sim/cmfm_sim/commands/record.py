"""`cmfm-sim record`: a durable record of a worker's verdicts."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cmfm_sim.curve import ClientKeys, OwnKey, ServerKey
from cmfm_sim.record import ResultLog
from cmfm_sim.recording import EventLog, Recording, read_had
from cmfm_sim.stopping import stop_on_signals
from cmfm_sim.subscriber import ALL_TOPICS, ResultSubscriber, SubscriberOptions


def record(
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="The record, a JSON object a line; continued where it is there.", show_default=False
        ),
    ],
    endpoint: Annotated[
        str, typer.Option("--endpoint", help="The worker's results ([sockets] results in line.toml).")
    ] = "tcp://127.0.0.1:5556",
    recover_endpoint: Annotated[
        str,
        typer.Option(
            "--recover-endpoint", help="Where missed results are asked for ([sockets] recovery in line.toml)."
        ),
    ] = "tcp://127.0.0.1:5558",
    events: Annotated[
        Path | None,
        typer.Option(
            "--events",
            help="Also write changes of the worker's state and of the connection to this file.",
            show_default=False,
        ),
    ] = None,
    key: OwnKey = None,
    server_key: ServerKey = None,
) -> None:
    """Write every verdict of a worker to a file, each once.

    May be stopped, killed and started again at any time: it goes on from its
    own file and asks the worker for what it missed. Ends in order on Ctrl-C.
    """
    had = read_had(out)
    options = SubscriberOptions(
        endpoint,
        recovery=recover_endpoint,
        topics=ALL_TOPICS,
        from_start=True,
        keys=ClientKeys.read(key, server_key),
    )
    with (
        stop_on_signals() as stop,
        ResultLog(out, resume=True) as log,
        ResultSubscriber(replace(options, had=log.had)) as subscriber,
    ):
        changes = EventLog(events) if events is not None else None
        recording = Recording(subscriber, log, changes, had)
        try:
            recording.run(stop.is_set)
        finally:
            if changes is not None:
                changes.close()
    typer.echo(f"{recording.results} results recorded in {out}", err=True)

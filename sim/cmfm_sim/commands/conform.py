"""`cmfm-sim conform`: checks somebody's own camera against WIRE.md."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from cmfm_client.sockets import check_endpoint
from cmfm_protocol.wire.topics import topic
from cmfm_sim.conform.checker import FRAMES, Conformance, fails
from cmfm_sim.conform.connection_check import connection_lines
from cmfm_sim.conform.listen import listen, now
from cmfm_sim.conform.show import report_map, show
from cmfm_sim.errors import InputError
from cmfm_sim.key_options import OwnKey, client_keys
from cmfm_sim.stdout import stdout_console
from cmfm_sim.stopping import stop_on_signals

TRIGGERS = "triggers"


def conform(
    endpoint: Annotated[
        str,
        typer.Option("--endpoint", help="Frames endpoint that the camera binds; the worker connects to it."),
    ] = "tcp://127.0.0.1:5555",
    triggers: Annotated[
        str,
        typer.Option(
            "--triggers",
            help="Endpoint of a gateway that sends trigger messages on a socket of its own.",
            show_default=False,
        ),
    ] = "",
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.5, max=86_400, help="Time to listen; Ctrl-C ends it earlier.")
    ] = 60.0,
    line: Annotated[
        str,
        typer.Option("--line", help="Line name that the worker expects. Default: any.", show_default=False),
    ] = "",
    station: Annotated[
        str, typer.Option("--station", help="Station name that it expects. Default: any.", show_default=False)
    ] = "",
    key: OwnKey = None,
    server_key: Annotated[
        Path | None,
        typer.Option(
            "--server-key", metavar="FILE", help="The camera's public key, with --key.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Listen to your own camera as a worker would, and check it against WIRE.md.

    Each line of the report is pass, fail or remark, with what to do and the
    section of WIRE.md. A remark is allowed and worth knowing. Let parts pass
    meanwhile; stop and start the camera once, to have its end and its new
    stream_uuid checked. A worker may be connected at the same time.

    Exit code 0 if nothing fails, 1 if a line fails, 2 for bad usage.
    """
    check_endpoint(endpoint, "--endpoint")
    endpoints = {FRAMES: endpoint}
    if triggers:
        endpoints[TRIGGERS] = check_endpoint(triggers, "--triggers")
    for option, given in (("--endpoint", endpoint), ("--triggers", triggers)):
        if "*" in given:
            raise InputError(f"{option} {given!r}: name the camera's host and port; only who binds writes *")
    topic(line or "line1", station or "station1", "frame")
    keys = client_keys(key, server_key)
    console = stdout_console()
    checker = Conformance(now(), line, station)
    started_s = time.monotonic()
    with stop_on_signals() as stop:
        if not as_json:
            console.print(f"listening to {endpoint} for {seconds:g} s (Ctrl-C ends)", style="dim")
        links = listen(endpoints, checker, seconds=seconds, keys=keys, stopped=stop.is_set)
    lines = connection_lines(
        links[FRAMES],
        name="connection",
        messages=checker.messages[FRAMES],
        kinds=checker.kinds[(FRAMES, "frame")],
        wanted="frame",
    )
    if triggers:
        lines += connection_lines(
            links[TRIGGERS],
            name="triggers' connection",
            messages=checker.messages[TRIGGERS],
            kinds=checker.kinds[(TRIGGERS, "trigger")],
            wanted="trigger",
        )
    lines += checker.lines(now())
    if as_json:
        report = report_map(endpoint, time.monotonic() - started_s, checker.messages.total(), lines)
        typer.echo(json.dumps(report, ensure_ascii=False))
    else:
        show(console, lines)
    raise typer.Exit(1 if fails(lines) else 0)

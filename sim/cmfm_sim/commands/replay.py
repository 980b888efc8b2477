"""`cmfm-sim replay`: a data set's parts as a conveyor feed."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cmfm_client.camera import Camera
from cmfm_client.camera_socket import CameraOptions
from cmfm_client.curve import ClientKeys
from cmfm_client.sockets import check_endpoint
from cmfm_client.subscriber import SubscriberOptions
from cmfm_protocol.clock import SystemClock
from cmfm_protocol.files.dataset import DEFAULT_LIGHT, Layout, XyzUnit, in_unit, list_parts
from cmfm_protocol.files.folder_names import category_name
from cmfm_protocol.files.outputs import require_writable_with_folder
from cmfm_sim.accounting import Account
from cmfm_sim.conveyor import Conveyor, Lot, plan_triggers
from cmfm_sim.disturb import Disturber
from cmfm_sim.faults import FaultKind, FaultPlan
from cmfm_sim.feed import Feed
from cmfm_sim.key_options import AllowedKeys, OwnKey, ServerKey, camera_keys, client_keys
from cmfm_sim.replay import Replay, ReplayReport
from cmfm_sim.replay_results import ReplayResults
from cmfm_sim.stdout import stdout_console
from cmfm_sim.stopping import stop_on_signals
from cmfm_sim.summary import summary_map, summary_view
from cmfm_sim.trigger_log import TriggerLog, TriggerMemory

FAULTS_HELP = (
    "Faults to inject, as KIND=AMOUNT, separated by commas: drop=0.02,corrupt=3,stall=1:0.5s. An amount with a decimal "
    f"point is a share of the triggers, one without a number of them. Kinds: {', '.join(FaultKind)}."
)


def replay(
    dataset: Annotated[Layout, typer.Option("--dataset", help="Layout of the data set.", show_default=False)],
    root: Annotated[
        Path, typer.Option("--root", help="Folder that holds the categories.", show_default=False)
    ],
    category: Annotated[
        list[str],
        typer.Option(
            "--category", help="Category to send; give it again for a mixed feed.", show_default=False
        ),
    ],
    rate: Annotated[
        float, typer.Option("--rate", min=0.001, max=10_000, help="Triggers a second.", show_default=False)
    ],
    endpoint: Annotated[
        str, typer.Option("--endpoint", help="Endpoint that the camera binds; the worker connects to it.")
    ] = "tcp://127.0.0.1:5555",
    line: Annotated[str, typer.Option("--line", help="Name of the line, as in line.toml.")] = "line1",
    station: Annotated[str, typer.Option("--station", help="Name of the station.")] = "station1",
    split: Annotated[str, typer.Option("--split", help="train, validation or test.")] = "test",
    light: Annotated[
        int | None,
        typer.Option(
            "--light",
            min=0,
            max=5,
            help="Which image of a part (eyecandies only): 0 all spots, 1 bottom, 2 right, 3 top, 4 left, 5 light box. "
            "Default: 4.",
            show_default=False,
        ),
    ] = None,
    xyz_unit: Annotated[
        XyzUnit,
        typer.Option("--xyz-unit", help="Unit of the points in TIFF files; metres are sent."),
    ] = "m",
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe", help="Recipe named in the frames. Default: the category.", show_default=False
        ),
    ] = None,
    deadline_ms: Annotated[
        float, typer.Option("--deadline-ms", min=1, help="Time from a trigger to its verdict.")
    ] = 1000.0,
    loop: Annotated[int, typer.Option("--loop", min=1, help="Number of passes over all parts.")] = 1,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Number of triggers after which to stop.", show_default=False),
    ] = None,
    shuffle: Annotated[
        int | None,
        typer.Option("--shuffle", min=0, help="Seed of a random order. Default: sorted.", show_default=False),
    ] = None,
    faults: Annotated[str, typer.Option("--faults", help=FAULTS_HELP, show_default=False)] = "",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the faults.")] = 0,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record", help="Write every trigger to this file, a JSON object a line.", show_default=False
        ),
    ] = None,
    max_lag_s: Annotated[
        float,
        typer.Option(
            "--max-lag-s",
            min=0,
            help="Lateness of the camera at which the conveyor stops for it, in seconds. Default: it never stops.",
            show_default=False,
        ),
    ] = math.inf,
    send_limit_ms: Annotated[
        int,
        typer.Option(
            "--send-limit-ms", min=0, help="Time that a frame waits for a busy worker before it is dropped."
        ),
    ] = 20,
    wait_s: Annotated[
        float, typer.Option("--wait-s", min=0, help="Time to wait for a worker to subscribe.")
    ] = 30.0,
    triggers: Annotated[
        bool,
        typer.Option("--triggers", help="Announce each part by a trigger message before its frame."),
    ] = False,
    results: Annotated[
        str,
        typer.Option(
            "--results",
            help="The worker's results endpoint: also receive the verdicts, and account for every part.",
            show_default=False,
        ),
    ] = "",
    recover_endpoint: Annotated[
        str,
        typer.Option(
            "--recover-endpoint",
            help="With --results: the worker's recovery endpoint, to ask for missed results.",
            show_default=False,
        ),
    ] = "",
    key: OwnKey = None,
    allowed_keys: AllowedKeys = None,
    server_key: ServerKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Send a data set's parts to a worker as a camera would, at a line's rate.

    Open loop: triggers fire when they are due, however far the worker is. The
    frames are marked as simulated. Ends when all parts are sent, or in order on
    Ctrl-C. Prints the numbers of triggers, of frames sent, of frames dropped
    because the worker did not take them, and of faults, and the sender's lateness.
    With --results also the verdicts: latency from the scheduled trigger, verdicts
    in time, and exit code 1 if the account does not hold.
    """
    if light is not None and dataset != "eyecandies":
        raise typer.BadParameter(f"goes with --dataset eyecandies, not {dataset}", param_hint="--light")
    require_writable_with_folder(record)
    seen = DEFAULT_LIGHT if light is None else light
    lots = [
        Lot(recipe or name, tuple(in_unit(list_parts(root, name, split, dataset, light=seen), xyz_unit)))
        for name in dict.fromkeys(map(category_name, category))
    ]
    distinct = sum(len(lot.parts) for lot in lots)
    total = min(distinct * loop, limit or distinct * loop)
    plan = FaultPlan.parse(faults, seed)
    plan.check_deadline(deadline_ms)
    disturber = Disturber(plan.schedule(total), seed)
    planned = islice(plan_triggers(lots, passes=loop, shuffle=shuffle), total)
    for option, given in (
        ("--endpoint", endpoint),
        ("--results", results),
        ("--recover-endpoint", recover_endpoint),
    ):
        if given:
            check_endpoint(given, option)
    options = CameraOptions(
        endpoint, line, station, send_limit_ms=send_limit_ms, keys=camera_keys(key, allowed_keys)
    )
    heard_with = client_keys(key, server_key) if server_key is not None else None
    clock = SystemClock()
    with (
        stop_on_signals() as stop,
        Feed(planned, distinct=min(distinct, total)) as feed,
        _log(record, remember=bool(results)) as log,
        _own_results(results, recover_endpoint, heard_with) as own_results,
        _bars(quiet=as_json) as bar,
    ):
        feed.preroll(bar("Reading ahead"), stop.is_set)
        with Camera(options, clock) as camera:
            sent = bar("Waiting for a worker")
            sent(0, total)
            camera.wait_for_subscriber(wait_s, stop.is_set)
            if own_results is not None:
                own_results.wait_for_worker(wait_s, stop.is_set)
            sent = bar("Triggers")
            report = Replay(
                camera=camera,
                conveyor=Conveyor(rate, clock, camera.rest),
                feed=feed,
                disturber=disturber,
                log=log,
                deadline_ms=deadline_ms,
                clock=clock,
                announce=triggers,
                stopped=stop.is_set,
                max_lag_s=max_lag_s,
                on_trigger=lambda trigger, _drops: sent(trigger.seq + 1, total),
            ).run()
        counted = None
        if own_results is not None and isinstance(log, TriggerMemory):
            counted = own_results.account(log, stop.is_set)
    _show(report, counted, as_json)
    raise typer.Exit(1 if counted is not None and counted.problems() else 0)


def _log(path: Path | None, *, remember: bool) -> TriggerLog:
    return TriggerMemory(path) if remember else TriggerLog(path)


def _own_results(
    results: str, recovery: str, keys: ClientKeys | None
) -> AbstractContextManager[ReplayResults | None]:
    return (
        ReplayResults(SubscriberOptions(results, recovery=recovery, keys=keys)) if results else nullcontext()
    )


Advance = Callable[[int, int], None]


@contextmanager
def _bars(*, quiet: bool) -> Iterator[Callable[[str], Advance]]:
    """Give a function that makes a progress bar of a title and removes the one before; on stderr, none when `quiet`."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress:

        def bar(title: str) -> Advance:
            for task in progress.task_ids:
                progress.remove_task(task)
            task = progress.add_task(title, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield bar


def _show(report: ReplayReport, counted: Account | None, as_json: bool) -> None:
    if as_json:
        account = {} if counted is None else {"answers": summary_map(counted, counted.problems(), [])}
        typer.echo(json.dumps(asdict(report) | account))
        return
    late = report.lateness_ms
    faults = ", ".join(f"{kind} {number}" for kind, number in sorted(report.faults.items())) or "none"
    lines = [
        f"triggers   {report.triggers} in {report.seconds:.1f} s" + (" (stopped)" if report.stopped else ""),
        f"sent       {report.sent}",
        f"pub_drops  {report.pub_drops}"
        + (" (the worker did not take them in time)" if report.pub_drops else ""),
        f"faults     {faults}",
        f"lateness   p50 {late.p50:.2f} ms, p99 {late.p99:.2f} ms, p99.9 {late.p999:.2f} ms, max {late.most:.2f} ms"
        if late
        else "lateness   -",
        f"stream     {report.stream_uuid}",
    ]
    typer.echo("\n".join(lines))
    if counted is not None:
        stdout_console().print(summary_view(counted, counted.problems()))

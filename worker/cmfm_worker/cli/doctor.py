"""`cmfm-worker doctor`: looks at everything before a shift; each line is good or says what to do."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cmfm_worker.doctor.findings import Findings
    from cmfm_worker.doctor.systemd_unit import Unit
    from cmfm_worker.doctor.visit import Visit

SOMETHING_TO_DO = 1


def doctor(
    config: Annotated[Path, typer.Option("--config", help="The line's settings (TOML).", show_default=False)],
    gateway: Annotated[
        Path | None,
        typer.Option(
            "--gateway", metavar="FILE", help="Look at the gateway too: its settings.", show_default=False
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--page", metavar="FILE", help="Look at the page too: its settings.", show_default=False
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            min=1e-6,
            metavar="HZ",
            help="Parts a second that this machine must keep up with. Default: the ledger's last hour.",
            show_default=False,
        ),
    ] = None,
    listen: Annotated[
        float,
        typer.Option("--listen", min=0.2, max=600, help="Seconds to wait for cameras, if no worker runs."),
    ] = 3.0,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="NAME.key_secret of a client that may use control, for a line that encrypts.",
            show_default=False,
        ),
    ] = None,
    unit: Annotated[
        str,
        typer.Option(
            "--unit",
            help="systemd unit of the worker: its variables, user and limits count. Default: cmfm-worker, if it runs "
            "this --config.",
            show_default=False,
        ),
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="FILE.zip",
            help="Pack the report, logs, settings without secrets, the ledger's newest rows and versions for support.",
            show_default=False,
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(
            "--log", metavar="FILE", help="Log file to pack, beside systemd's journal.", show_default=False
        ),
    ] = None,
) -> None:
    """Look at everything before a shift: each line is good, or says what to do.

    Settings, recipes and weights, frame sizes, cameras, clocks, disk, ledger, leftovers, ports, permissions, speed, and
    whether worker, gateway and page answer. A running line is asked for its state and not disturbed. Run it as root
    or as the user of the worker: what may not be looked at is said and is not good.

    Exit code 0: all is good; 1: something is to be done, or could not be looked at; 2: bad usage, or settings that
    cannot be read.
    """
    from cmfm_protocol.files.outputs import require_writable_files
    from cmfm_service.log import configure_logging
    from cmfm_worker.doctor.examination import begin, examine
    from cmfm_worker.doctor.findings import all_well
    from cmfm_worker.doctor.systemd_unit import unit_of
    from cmfm_worker.doctor.visit import Options

    require_writable_files(bundle)
    if log is not None and not log.is_file():
        raise typer.BadParameter(f"--log {log}: no such file")
    its_unit = unit_of(config, unit)
    others = [
        unit_of(path, "", usual=name)
        for path, name in ((gateway, "cmfm-gateway"), (page, "cmfm-hmi"))
        if path
    ]
    configure_logging("console", "critical", sys.stderr)  # findings say what loading a recipe would log
    with _environment_of(its_unit, *others), _telling() as tell:
        options = Options(rate_hz=rate, listen_s=listen, key=key)
        visit, found = begin(config, options, gateway=gateway, page=page, unit=its_unit)
        found += examine(visit, tell)
        if bundle is not None:
            tell("bundle")
            _pack(bundle, visit, found, log)
    _print(found, as_json=json)
    if bundle is not None:
        typer.echo(f"{bundle}: written; look into it before you send it", err=True)
    raise typer.Exit(0 if all_well(found) else SOMETHING_TO_DO)


def _pack(bundle: Path, visit: "Visit", found: "Findings", log: Path | None) -> None:
    from cmfm_worker.cli.doctor_report import as_json_text, as_text
    from cmfm_worker.doctor.bundle import write_bundle

    report = {"report.txt": as_text(found), "report.json": as_json_text(found)}
    write_bundle(bundle, visit, report, log=log)


def _print(found: "Findings", *, as_json: bool) -> None:
    from cmfm_worker.cli.doctor_report import as_json_text, show

    if as_json:
        sys.stdout.write(as_json_text(found))
    else:
        show(found)


@contextlib.contextmanager
def _environment_of(*units: "Unit | None") -> Iterator[None]:
    """Let the variables of systemd's units count, as they do for the programs that they start."""
    before = dict(os.environ)
    for unit in units:
        if unit is not None:
            os.environ.update(
                {name: value for name, value in unit.environment.items() if name.startswith("CMFM_")}
            )
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """Show on a terminal which check is being made."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as status:
        yield lambda name: status.update(f"looking at {name} …")

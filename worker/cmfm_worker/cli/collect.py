"""`cmfm-worker collect`: has a running line keep good parts of a product, to teach a recipe from."""

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cmfm_worker.cli.control_client import OwnKey, ServerKey

if TYPE_CHECKING:
    from cmfm_client.requests import RequestClient
    from cmfm_protocol.wire.state import CollectState

POLL_S: Final = 0.5
AWAY_LIMIT_S: Final = 30.0
"""A line that does not answer for so long has ended."""


def collect(
    product: Annotated[str, typer.Option(help="Name of the product.", show_default=False)],
    config: Annotated[
        Path, typer.Option("--config", help="Settings file of the line (TOML).", show_default=False)
    ],
    count: Annotated[
        int, typer.Option(min=1, max=100_000, metavar="N", help="Keep so many parts.", show_default=False)
    ],
    every: Annotated[
        int, typer.Option(min=1, max=1_000_000, metavar="N", help="Keep one of so many that run by.")
    ] = 1,
    frames_of: Annotated[
        str,
        typer.Option(
            metavar="RECIPE",
            help="Keep only parts whose frames name this recipe; the line need not have it. Default: all parts.",
            show_default=False,
        ),
    ] = "",
    key: OwnKey = None,
    server_key: ServerKey = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print progress and result as JSON, one object a line.")
    ] = False,
) -> None:
    """Have the running line keep good parts of a product, and show how many there are.

    The parts lie under [collected] folder, in a folder of the product's name. Parts that a recipe rejects are kept too,
    but not taught from until somebody calls them good. Ctrl-C ends collecting; what was kept stays. Then:
    `cmfm-worker teach --from-collected`.
    """
    from cmfm_records.collected import read_product
    from cmfm_worker.cli.control_client import control_client
    from cmfm_worker.cli.json_lines import print_line
    from cmfm_worker.settings.load import load_settings
    from cmfm_worker.teaching.collected_parts import gain

    settings = load_settings(config)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends collecting, as Ctrl-C does
    with control_client(settings, key, server_key) as line:
        line.collect(product, count, every=every, frames_of=frames_of)
        state: CollectState | None
        try:
            state = _follow(line, product, count, as_json=json)
        except KeyboardInterrupt:
            line.collect(product, 0)
            state = line.status().collecting
    good = len(read_product(settings.collected.folder, product).used_as("good"))
    kept = state.collected if state is not None else 0
    if json:
        print_line(
            "collected", product=product, collected=kept, good=good, folder=str(settings.collected.folder)
        )
    else:
        typer.echo(f"{kept} parts of {product} were kept; it has {good} good parts now")
        typer.echo(gain(good))


def _follow(line: "RequestClient", product: str, count: int, *, as_json: bool) -> "CollectState":
    """Print progress until the parts are there. Raises InputError if the line ends or keeps another product's."""
    from cmfm_worker.cli.console import progress_bars, remark
    from cmfm_worker.cli.json_lines import json_progress

    titles, shown = {"collect": f"parts of {product}"}, ""
    with json_progress(titles) if as_json else progress_bars(titles) as progress:
        while True:
            state = _state(line, product)
            progress("collect", state.collected, count)
            if state.detail and state.detail != shown:
                remark(f"a part was not kept: {state.detail}")
                shown = state.detail
            if state.collected >= state.wanted:
                return state
            time.sleep(POLL_S)


def _state(line: "RequestClient", product: str) -> "CollectState":
    from cmfm_client.errors import NoReplyError
    from cmfm_worker.errors import InputError

    give_up_s = time.monotonic() + AWAY_LIMIT_S
    while True:
        try:
            state = line.status().collecting
        except NoReplyError:
            if time.monotonic() >= give_up_s:
                raise
            continue
        if state is None or state.product != product:
            what = "it was started again" if state is None else f"it now keeps parts of {state.product}"
            raise InputError(f"the line no longer keeps parts of {product}: {what}; ask again")
        return state

"""`cmfm-worker bench`: how fast the method runs here. Its options are those of `cmfm_worker.bench.command`."""

from typing import Any, Final

import typer

from cmfm_worker.errors import InputError

SETTINGS: Final[dict[str, Any]] = {
    "add_help_option": False,
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
}
"""Of the command: options pass through to the benchmark's own parser, --help among them."""


def bench(context: typer.Context) -> None:
    """Benchmark the method: frames/s, latency, memory, stages beside their floors."""
    from cmfm_worker.bench.command import run_command
    from cmfm_worker.bench.options import BenchError
    from cmfm_worker.cli.console import remark, show_table

    try:
        run_command(
            context.args,
            "cmfm-worker bench",
            say=remark,
            show=lambda table: show_table(table.title, table.header, table.rows),
        )
    except BenchError as error:
        raise InputError(str(error)) from error

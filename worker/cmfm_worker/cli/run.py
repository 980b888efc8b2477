"""`cmfm-worker --config line.toml`: run the line."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from cmfm_service.log import logging_to_stderr
from cmfm_worker.errors import ExitCode
from cmfm_worker.line.health.malloc import keep_memory
from cmfm_worker.line.service import Ended, serve
from cmfm_worker.settings.load import load_settings
from cmfm_worker.settings.model import Settings

SWITCH_INTERVAL_S: Final = 0.0005
"""How long a thread may keep the interpreter while another waits for it. Python's default of 5 ms is as long as a
verdict may take after its deadline."""


def run_line(
    config: Path,
    serve: Callable[[Settings], Ended] = serve,
    keep_memory: Callable[[], bool] = keep_memory,
) -> int:
    """Run the line until it is told to stop; returns the exit code.

    Raises InputError for a wrong file or recipe, StartupError (see `app.main` for the codes). If a computation was
    left behind, the process ends here.
    """
    settings = load_settings(config)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    keep_memory()
    with logging_to_stderr(settings.log.format, settings.log.level):
        ended = serve(settings)
    if ended.message:
        sys.stderr.write(f"cmfm-worker: {ended.message}\n")
    if ended.left_computing:
        leave_at_once(ended.code)
    return int(ended.code)


def leave_at_once(code: ExitCode) -> NoReturn:
    """End the process without the exit handlers of the interpreter and CUDA, which wait for a device that hangs.

    Verdicts, ledger and log have been written and closed before.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

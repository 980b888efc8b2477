"""`cmfm-worker --config line.toml`: run the line."""

import os
import sys
from pathlib import Path
from typing import Final, NoReturn

from cmfm_worker.errors import ExitCode, HungDeviceError
from cmfm_worker.line.health.log import logging_to_stderr
from cmfm_worker.line.health.malloc import keep_memory
from cmfm_worker.line.service import Service
from cmfm_worker.settings.load import load_settings

SWITCH_INTERVAL_S: Final = 0.0005
"""How long a thread may keep the interpreter while another waits for it. Python's own 5 ms are all the time that a
verdict has after its deadline."""


def run_line(config: Path) -> int:
    """Run the line until it is told to stop; returns the exit code.

    Raises InputError for a wrong file or recipe, StartupError, LostDeviceError (see `app.main` for the
    codes). Where a computation was left behind, the process ends here.
    """
    settings = load_settings(config)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    keep_memory()
    service = Service(settings)
    try:
        with logging_to_stderr(settings.log.format, settings.log.level):
            code = service.serve()
    except HungDeviceError as error:
        sys.stderr.write(f"cmfm-worker: {error}\n")
        code = ExitCode.HUNG_DEVICE
    if service.left_computing:
        leave_at_once(code)
    return int(code)


def leave_at_once(code: ExitCode) -> NoReturn:
    """End the process without the interpreter's and CUDA's own farewells, which wait for a device that hangs.

    Verdicts, ledger and log have been written and closed by now.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

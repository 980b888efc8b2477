"""`cmfm-worker --config line.toml`: run the line."""

from pathlib import Path

from cmfm_worker.logs import logging_to_stderr
from cmfm_worker.service import serve
from cmfm_worker.settings import load_settings


def run_line(config: Path) -> int:
    """Run the line until it is told to stop; returns the exit code.

    Raises InputError for a wrong file or recipe, StartupError, LostDeviceError (see `app.main` for the
    codes).
    """
    settings = load_settings(config)
    with logging_to_stderr(settings.log.format, settings.log.level):
        return int(serve(settings))

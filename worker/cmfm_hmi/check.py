"""`cmfm-hmi check --config hmi.toml`: explain a configuration without running it."""

from pathlib import Path

from cmfm_hmi.errors import ExitCode
from cmfm_hmi.problems import problems_of
from cmfm_hmi.settings.load import load_with_sources
from cmfm_settings.explain import report_check


def check_hmi(config: Path, json: bool) -> int:
    """Validate the settings and the files that they name, and explain them. Returns the exit code.

    Raises InputError for settings that cannot be used at all.
    """
    loaded = load_with_sources(config)
    problems = problems_of(loaded.settings)
    report_check(loaded, config, problems, json_format=json, can_run="This page can run.")
    return int(ExitCode.BAD_INPUT if problems else ExitCode.OK)

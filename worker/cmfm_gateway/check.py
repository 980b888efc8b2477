"""`cmfm-gateway check --config gateway.toml`: explain a configuration without running it."""

from pathlib import Path

from cmfm_gateway.errors import ExitCode
from cmfm_gateway.problems import problems_of
from cmfm_gateway.settings.load import load_with_sources
from cmfm_settings.explain import report_check


def check_gateway(config: Path, json: bool) -> int:
    """Validate the settings and the files that they name, and explain them. Returns the exit code.

    Raises InputError for settings that cannot be used at all.
    """
    loaded = load_with_sources(config)
    problems = problems_of(loaded.settings)
    report_check(loaded, config, problems, json_format=json, can_run="This gateway can run.")
    return int(ExitCode.BAD_INPUT if problems else ExitCode.OK)

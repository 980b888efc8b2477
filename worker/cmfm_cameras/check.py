"""`cmfm-camera check --config camera.toml`: explain a configuration without opening the device."""

from pathlib import Path

from cmfm_cameras.errors import ExitCode
from cmfm_cameras.problems import problems_of
from cmfm_cameras.settings.load import load_with_sources
from cmfm_settings.explain import report_check


def check_camera(config: Path, json: bool) -> int:
    """Validate the settings and the files that they name, and explain them. Returns the exit code.

    Raises InputError for settings that cannot be used at all.
    """
    loaded = load_with_sources(config)
    problems = problems_of(loaded.settings)
    report_check(
        loaded, config, problems, json_format=json, can_run="This camera can run, if its device is there."
    )
    return int(ExitCode.BAD_INPUT if problems else ExitCode.OK)

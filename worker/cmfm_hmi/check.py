"""`cmfm-hmi check --config hmi.toml`: explain a configuration without running it."""

import json as json_format
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from cmfm_hmi.errors import ExitCode
from cmfm_hmi.problems import problems_of
from cmfm_hmi.settings.load import load_with_sources
from cmfm_settings.explain import as_json, print_settings


def check_hmi(config: Path, json: bool) -> int:
    """Validate the settings and the files that they name, and explain them. Returns the exit code.

    Raises InputError for settings that cannot be used at all.
    """
    loaded = load_with_sources(config)
    problems = problems_of(loaded.settings)
    console = Console()
    if json:
        console.print_json(json_format.dumps({"settings": as_json(loaded), "problems": problems}))
    else:
        print_settings(console, loaded, config)
        console.print()
        for problem in problems:
            console.print(f"[red]problem:[/] {escape(problem)}", highlight=False, soft_wrap=True)
        if not problems:
            console.print("[green]This page can run.[/]")
    return int(ExitCode.BAD_INPUT if problems else ExitCode.OK)

"""The options that the programs of ours share: `--config` alone runs one, unless a command is given."""

from pathlib import Path

import typer


def config_to_run(context: typer.Context, config: Path | None, example: str) -> Path | None:
    """Return the settings file to run with; None if a command is given, which then runs.

    Raises BadParameter for `--config` before a command, and without both; `example` is the name of such a file.
    """
    if context.invoked_subcommand is not None:
        if config is not None:
            raise typer.BadParameter(
                f"--config goes after the command: {context.invoked_subcommand} --config …"
            )
        return None
    if config is None:
        raise typer.BadParameter(f"--config {example} is missing")
    return config

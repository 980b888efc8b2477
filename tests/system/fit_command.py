"""The command that teaches a recipe for a system test: quick, and only good enough to inspect with."""

from pathlib import Path

from cmfm_sim.processes import program


def fit_command(root: Path, category: str, out: Path, *options: str) -> list[str]:
    """Five epochs of `classic`, without a report on simulated defects."""
    command = [*program("cmfm-worker"), "fit", "--simulated-defects", "0", "--dataset", "mvtec3d"]
    command += ["--root", str(root), "--category", category, "--out", str(out)]
    return [*command, "--epochs", "5", "--extractors", "classic", *options]

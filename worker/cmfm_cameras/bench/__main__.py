"""`python -m cmfm_cameras.bench`: what docs/cameras.md quotes."""

import json
import sys
from dataclasses import asdict

import cv2
import typer

from cmfm_cameras.bench import steady as steady_bench
from cmfm_cameras.bench.conversion import measure

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Measure cameras on this machine.")


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@app.command()
def conversion(rounds: int = 30) -> None:
    """From a full buffer of 2.3 megapixels to a sealed frame, in ms of one core."""
    cv2.setNumThreads(1)
    measure(rounds, say)


@app.command()
def steady(seconds: float = 600.0) -> None:
    """Run the simulated GenTL producer: frames, losses, memory."""
    raise typer.Exit(0 if steady_bench.measure_steady(seconds, say) else 1)


@app.command()
def pulled(times: int = 50, frames: int = 5) -> None:
    """Pull the simulated device again and again: is every trigger accounted for?"""
    raise typer.Exit(0 if steady_bench.measure_pulled(times, frames, say) else 1)


@app.command(hidden=True)
def listen(endpoint: str) -> None:
    """Hear a camera until its stream ends, and print what was heard as JSON."""
    say(json.dumps(asdict(steady_bench.listen(endpoint))))


if __name__ == "__main__":
    app()

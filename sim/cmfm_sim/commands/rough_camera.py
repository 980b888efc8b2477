"""`cmfm-sim rough-camera`: plays one scene of a chaos run; `cmfm-sim chaos` starts it."""

from pathlib import Path
from typing import Annotated

import typer

from cmfm_protocol.files.dataset import list_parts, read_part
from cmfm_sim.chaos.rough_camera import RoughCamera, RoughOptions
from cmfm_sim.chaos.scenes import SCENES, scene
from cmfm_sim.errors import InputError

PICTURES = 16


def rough_camera(
    name: Annotated[str, typer.Option("--scene", help=f"One of {', '.join(SCENES)}.")],
    endpoint: Annotated[
        list[str], typer.Option("--endpoint", help="Endpoint to bind; a second one for `twin`.")
    ],
    root: Annotated[Path, typer.Option("--root", help="Data set to send (MVTec 3D-AD layout).")],
    category: Annotated[str, typer.Option("--category", help="Category to send.")],
    log: Annotated[Path, typer.Option("--log", help="File for the parts and their expected results.")],
    recipe: Annotated[str, typer.Option("--recipe", help="Recipe named in the frames.")] = "",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the scene.")] = 0,
    deadline_ms: Annotated[
        float, typer.Option("--deadline-ms", min=1, help="Deadline of each part.")
    ] = 1000.0,
    line: Annotated[str, typer.Option("--line", help="Name of the line.")] = "line1",
    station: Annotated[str, typer.Option("--station", help="Name of the station.")] = "station1",
) -> None:
    """Play a camera that breaks one rule of WIRE.md's sequence, and write what must come of it."""
    if name not in SCENES:
        raise InputError(f"--scene {name}: there are {', '.join(SCENES)}")
    pictures = [read_part(files) for files in list_parts(root, category, "test")[:PICTURES]]
    options = RoughOptions(endpoint, recipe or category, deadline_ms, line, station)
    RoughCamera(options, pictures, log).play(name, scene(name, seed))

"""A valve block: an anodised plate with six caps, where the colour of a cap tells its height and its ribs."""

from functools import partial

import numpy as np

from cmfm_sim.datasets.synthetic.canvas import Canvas, colour, mix
from cmfm_sim.datasets.synthetic.category import Blueprint, CategorySpec, Shade
from cmfm_sim.datasets.synthetic.fields import box_distance, inside, ramp, smooth_noise, turned
from cmfm_sim.datasets.synthetic.sampling import Field

KINDS = ("red knob", "blue nut", "yellow dome")
_COLUMNS = (-25.0, 0.0, 25.0)
_ROWS = (-13.5, 13.5)
_SCREWS = ((-37.5, -24.5), (-37.5, 24.5), (37.5, -24.5), (37.5, 24.5))


def draw(canvas: Canvas, blueprint: Blueprint, rng: np.random.Generator) -> None:
    """The plate, its screws, then the caps. A darker anodised plate (tone 1) is a thicker one."""
    _plate(canvas, rng, blueprint.tone)
    for place in _SCREWS:
        _screw(canvas, place, rng)
    places = [(u, v) for v in _ROWS for u in _COLUMNS]
    for element, (u, v) in enumerate(places):
        centre = (u + rng.uniform(-0.5, 0.5), v + rng.uniform(-0.5, 0.5))
        u_mm, v_mm = turned(canvas.u_mm, canvas.v_mm, centre, rng.uniform(0.0, 2.0 * np.pi))
        away, moulded = np.hypot(u_mm, v_mm), smooth_noise(rng, u_mm, v_mm, 3.0)
        # All caps fit the same bore: from above only the colour tells the kinds apart.
        weight = inside(away - np.float32(rng.uniform(8.1, 8.7)), 0.4)
        _shape(canvas, blueprint.shape_kinds[element], weight, away, np.arctan2(v_mm, u_mm))
        canvas.lift(weight * np.float32(blueprint.rise_mm(element)))
        _colour(canvas, blueprint.colour_kinds[element], weight, moulded, partial(blueprint.shade, element))


def _plate(canvas: Canvas, rng: np.random.Generator, tone: float) -> None:
    u_mm, v_mm = canvas.u_mm, canvas.v_mm
    distance = box_distance(u_mm, v_mm, 43.0, 30.0, radius=4.0)
    top_mm = 9.6 + 1.6 * tone + rng.uniform(-0.15, 0.15)
    chamfer = np.clip(-distance / 1.5, 0.0, 1.0)
    brushed = smooth_noise(rng, u_mm, v_mm, (18.0, 0.7))
    cast = smooth_noise(rng, u_mm, v_mm, 12.0)
    height = top_mm - 1.5 * (1.0 - chamfer) + 0.02 * brushed + 0.05 * cast
    metal = mix(colour("9aa0a6"), colour("4a5058"), float(0.1 + 0.85 * tone))
    tinted = metal * (1.0 + 0.06 * brushed + 0.02 * cast)[..., None]
    canvas.body(distance, height, tinted, gloss=0.4, core=colour("d6d8da"))
    # A milled channel between the rows, as on real blocks.
    channel = inside(box_distance(u_mm, v_mm, 33.0, 1.7, radius=1.7), 0.4)
    canvas.lift(-1.4 * channel)


def _screw(canvas: Canvas, place: tuple[float, float], rng: np.random.Generator) -> None:
    u_mm, v_mm = turned(canvas.u_mm, canvas.v_mm, place, rng.uniform(0.0, np.pi))
    away = np.hypot(u_mm, v_mm)
    head = inside(away - 3.1, 0.3)
    slot = inside(box_distance(u_mm, v_mm, 2.2, 0.55), 0.3)
    canvas.lift(head * (1.0 - 0.04 * away**2) - 0.8 * slot)
    canvas.paint(head * (1.0 - 0.7 * slot), colour("c9c4b6"), gloss=0.9)


def _shape(canvas: Canvas, kind: int, weight: Field, away: Field, angle: Field) -> None:
    if kind == 0:  # a high knob: twelve ribs around it, hollow on top
        ribs = ramp(away, 5.6, 7.2) * (0.9 - 0.9 * np.cos(12.0 * angle))
        canvas.lift(weight * (8.0 - ribs - 1.0 * ramp(away, 7.4, 8.4)) - 1.4 * inside(away - 3.6, 0.6))
    elif kind == 1:  # a low nut: flat, a six-sided recess in its middle
        sector = np.mod(angle, np.float32(np.pi / 3.0)) - np.float32(np.pi / 6.0)
        canvas.lift(
            weight * (3.4 - 0.8 * ramp(away, 7.2, 8.4)) - 2.2 * inside(away * np.cos(sector) - 3.9, 0.4)
        )
    else:  # a smooth dome on a collar
        canvas.lift(weight * (1.2 + 5.2 * np.sqrt(np.clip(1.0 - (away / 7.4) ** 2, 0.0, 1.0))))


def _colour(canvas: Canvas, kind: int, weight: Field, moulded: Field, shade: Shade) -> None:
    plastic = (colour("c0231f"), colour("1f55a8"), colour("e3b21c"))[kind]
    canvas.paint(weight, shade(plastic) * (1.0 + 0.025 * moulded)[..., None], gloss=0.55)


VALVE_BLOCK = CategorySpec(
    name="valve_block",
    description="anodised plate with ribbed red knobs, flat blue nuts and yellow domes",
    kinds=KINDS,
    elements=len(_COLUMNS) * len(_ROWS),
    reach_mm=(45.0, 32.0),
    turn_deg=20.0,
    tray="blue",
    draw=draw,
)

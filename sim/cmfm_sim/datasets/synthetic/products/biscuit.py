"""A butter biscuit: browned on its heights and towards its edge, with chocolate, almonds and jelly."""

from functools import partial

import numpy as np

from cmfm_sim.datasets.synthetic.canvas import Canvas, colour, mix
from cmfm_sim.datasets.synthetic.category import Blueprint, CategorySpec, Shade
from cmfm_sim.datasets.synthetic.fields import inside, ramp, smooth_noise, turned
from cmfm_sim.datasets.synthetic.sampling import Field

KINDS = ("chocolate drop", "almond slice", "jelly pool")
_PLACES = 7  # one topping in the middle, six around it


def draw(canvas: Canvas, blueprint: Blueprint, rng: np.random.Generator) -> None:
    """Dough first, then the toppings. A longer baked biscuit (tone 1) is browner, flatter and wider."""
    radius_mm = 35.0 + 2.0 * blueprint.tone + rng.uniform(-1.0, 1.0)
    top_mm = 14.5 - 2.0 * blueprint.tone + rng.uniform(-0.5, 0.5)
    relief = _dough(canvas, rng, radius_mm, top_mm, blueprint.tone)
    turn = rng.uniform(0.0, 2.0 * np.pi)
    for place in range(_PLACES):
        away_mm = 0.0 if place == 0 else radius_mm * 0.57 + rng.uniform(-1.5, 1.5)
        angle = turn + place * np.pi / 3.0 + rng.uniform(-0.12, 0.12)
        centre = (away_mm * np.cos(angle), away_mm * np.sin(angle))
        u_mm, v_mm = turned(canvas.u_mm, canvas.v_mm, centre, rng.uniform(0.0, 2.0 * np.pi))
        rough = smooth_noise(rng, u_mm, v_mm, 4.0)
        # The outline does not depend on the kind: from above, only the colour tells the kinds apart.
        away = np.hypot(u_mm / np.float32(rng.uniform(5.6, 6.8)), v_mm / np.float32(rng.uniform(5.0, 6.0)))
        weight = inside((away - 1.0) * 5.6 + 0.2 * rough, 0.6)
        _shape(canvas, blueprint.shape_kinds[place], weight, away, rough)
        canvas.lift(weight * np.float32(blueprint.rise_mm(place)))
        _colour(canvas, blueprint.colour_kinds[place], weight, rough, relief, partial(blueprint.shade, place))


def _dough(canvas: Canvas, rng: np.random.Generator, radius_mm: float, top_mm: float, tone: float) -> Field:
    u_mm, v_mm = canvas.u_mm, canvas.v_mm
    away, angle = np.hypot(u_mm, v_mm), np.arctan2(v_mm, u_mm)
    phase = rng.uniform(0.0, 2.0 * np.pi, 2).astype(np.float32)
    outline = radius_mm + 0.9 * np.cos(22.0 * angle + phase[0]) + 0.7 * np.cos(3.0 * angle + phase[1])
    distance = away - outline
    edge = np.clip(-distance / 9.0, 0.0, 1.0)
    relief = 0.45 * smooth_noise(rng, u_mm, v_mm, 9.0) + 0.25 * smooth_noise(rng, u_mm, v_mm, 3.5)
    grain = smooth_noise(rng, u_mm, v_mm, 0.8)
    height = top_mm * np.sqrt(1.0 - (1.0 - edge) ** 2.6) + (relief + 0.07 * grain) * edge
    crumbs = smooth_noise(rng, u_mm, v_mm, 1.4)
    # Heights and the rim brown first.
    brown = 0.34 + 0.3 * tone + 0.26 * relief + 0.55 * (1.0 - edge) ** 2 + 0.03 * crumbs
    dough = mix(colour("e9c588"), colour("8a4a1c"), np.clip(brown, 0.0, 1.0))
    dough *= (1.0 + 0.05 * grain)[..., None]
    canvas.body(distance, height, dough, gloss=0.08, core=colour("ecd3a0"))
    return relief


def _shape(canvas: Canvas, kind: int, weight: Field, away: Field, rough: Field) -> None:
    """Give a topping its shape; `away` is 1 on its outline."""
    if kind == 0:  # a drop of chocolate: pointed on top
        canvas.lift(weight * (1.0 + 3.6 * np.clip(1.0 - away, 0.0, 1.0) ** 0.8))
    elif kind == 1:  # a slice of almond: thin and flat
        canvas.lift(weight * (1.5 + 0.1 * rough))
    else:  # jelly in a thumb print: a ring of dough around a level pool
        canvas.lift(1.1 * np.exp(-(((away - 1.15) / 0.22) ** 2)) - 1.9 * weight)


def _colour(canvas: Canvas, kind: int, weight: Field, rough: Field, relief: Field, shade: Shade) -> None:
    if kind == 0:
        canvas.paint(weight, shade(colour("3b2013")) * (1.0 + 0.06 * rough)[..., None], gloss=0.45)
    elif kind == 1:
        blanched = mix(colour("f3e2bd"), colour("c08a4a"), ramp(relief + 0.35 * rough, 0.0, 1.4))
        canvas.paint(weight, shade(blanched), gloss=0.12)
    else:
        canvas.paint(
            weight, shade(mix(colour("b3101f"), colour("6d0512"), ramp(rough, -1.0, 1.5))), gloss=0.9
        )


BISCUIT = CategorySpec(
    name="biscuit",
    description="butter biscuit, browned on its heights, with chocolate drops, almond slices and jelly pools",
    kinds=KINDS,
    elements=_PLACES,
    reach_mm=(42.0, 42.0),
    turn_deg=180.0,
    tray="steel",
    draw=draw,
)

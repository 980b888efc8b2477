"""A wooden handle: grain along its axis, raised rubber grips, burnt-in pockets, flush brass inlays."""

from functools import partial

import numpy as np

from cmfm_sim.datasets.synthetic.canvas import Canvas, colour, mix
from cmfm_sim.datasets.synthetic.category import Blueprint, CategorySpec, Shade
from cmfm_sim.datasets.synthetic.fields import box_distance, inside, ramp, smooth_noise
from cmfm_sim.datasets.synthetic.sampling import Field

KINDS = ("rubber grip", "burnt pocket", "brass inlay")
_PLACES = 5
_PITCH_MM = 15.2
_HALF_LENGTH_MM = 45.0


def draw(canvas: Canvas, blueprint: Blueprint, rng: np.random.Generator) -> None:
    """A turned body lying on the tray, then its inlays. Darker wood (tone 1) is turned thinner."""
    u_mm, v_mm = canvas.u_mm, canvas.v_mm
    _wood(canvas, _profile(u_mm, rng, blueprint.tone), rng, blueprint.tone)
    for place in range(_PLACES):
        middle = np.float32((place - (_PLACES - 1) / 2) * _PITCH_MM + rng.uniform(-0.7, 0.7))
        half_u, half_v, radius = rng.uniform(5.0, 6.0), rng.uniform(5.0, 6.2), rng.uniform(1.5, 4.0)
        distance = box_distance(
            u_mm - middle, v_mm - np.float32(rng.uniform(-0.6, 0.6)), half_u, half_v, radius
        )
        weight, wear = inside(distance, 0.5), smooth_noise(rng, u_mm, v_mm, 2.5)
        _shape(canvas, blueprint.shape_kinds[place], weight, distance, u_mm - middle)
        canvas.lift(weight * np.float32(blueprint.rise_mm(place)))
        _colour(canvas, blueprint.colour_kinds[place], weight, wear, partial(blueprint.shade, place))


def _profile(u_mm: Field, rng: np.random.Generator, tone: float) -> Field:
    """Radius along the axis: a gentle swell, a bead near either end, rounded ends."""
    half_mm = np.float32(_HALF_LENGTH_MM + rng.uniform(-1.0, 1.0))
    radius = 11.0 - 1.2 * tone + rng.uniform(-0.2, 0.2) + 0.5 * np.cos(u_mm / 15.0 + rng.uniform(-0.4, 0.4))
    for end in (-1.0, 1.0):
        along = (u_mm - np.float32(end) * (half_mm - 5.0)) / 2.4
        radius += 1.1 * np.sqrt(np.clip(1.0 - along**2, 0.0, 1.0)) - 0.7 * np.exp(
            -((np.abs(along) - 1.3) ** 2) * 9
        )
    short = np.clip((half_mm - np.abs(u_mm)) / 3.0, 0.0, 1.0)
    profile: Field = radius * np.sqrt(1.0 - (1.0 - short) ** 2)
    return profile


def _wood(canvas: Canvas, profile: Field, rng: np.random.Generator, tone: float) -> None:
    u_mm, v_mm = canvas.u_mm, canvas.v_mm
    distance = np.where(profile > 0.5, np.abs(v_mm) - profile, np.float32(1.0))
    axis_mm = 11.0  # it rests on its beads
    height = axis_mm + np.sqrt(np.clip(profile**2 - v_mm**2, 0.0, None))
    bend = 2.0 * smooth_noise(rng, u_mm, np.zeros_like(u_mm), 40.0)
    rings = np.sin(1.6 * (v_mm + bend) + 1.3 * smooth_noise(rng, u_mm, v_mm, (60.0, 5.0)))
    fibres = smooth_noise(rng, u_mm, v_mm, (14.0, 0.7))
    pores = ramp(smooth_noise(rng, u_mm, v_mm, (5.0, 0.6)), 1.2, 2.2)
    height += 0.05 * fibres - 0.12 * pores
    bare = mix(colour("dcb27a"), colour("8d5d34"), float(0.1 + 0.75 * tone))
    wood = bare * (1.0 + 0.13 * rings + 0.07 * fibres - 0.35 * pores)[..., None]
    canvas.body(distance, height, wood, gloss=0.2, core=colour("efd7a8"))


def _shape(canvas: Canvas, kind: int, weight: Field, distance: Field, along: Field) -> None:
    if kind == 0:  # a rubber grip stands proud and is ribbed
        ribs = 0.25 * np.cos(2.0 * np.pi * along / np.float32(2.2))
        canvas.lift(weight * (2.1 + ribs) * np.clip(0.35 - distance / 1.2, 0.0, 1.0) ** 0.5)
    elif kind == 1:  # a pocket is milled down, deepest in its middle
        canvas.lift(weight * -(1.2 + 1.0 * np.clip(-distance / 3.0, 0.0, 1.0)))
    else:  # an inlay lies flush, with a fine joint around it
        canvas.lift(-0.35 * np.exp(-((distance / 0.45) ** 2)))


def _colour(canvas: Canvas, kind: int, weight: Field, wear: Field, shade: Shade) -> None:
    shades = (colour("a5161c"), colour("2b1b13"), colour("c9a24b"))
    canvas.paint(weight, shade(shades[kind]) * (1.0 + 0.05 * wear)[..., None], gloss=(0.3, 0.06, 0.75)[kind])


HANDLE = CategorySpec(
    name="handle",
    description="turned wooden handle with raised red grips, burnt pockets and flush brass inlays",
    kinds=KINDS,
    elements=_PLACES,
    reach_mm=(48.0, 15.0),
    turn_deg=35.0,
    tray="belt",
    draw=draw,
)

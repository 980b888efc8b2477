"""A chocolate praline: piped icing whose colour tells its profile, on a cover whose tone tells its height."""

from functools import partial

import numpy as np

from cmfm_sim.datasets.synthetic.canvas import Canvas, colour, mix
from cmfm_sim.datasets.synthetic.category import Blueprint, CategorySpec, Shade
from cmfm_sim.datasets.synthetic.fields import box_distance, inside, ramp, smooth_noise
from cmfm_sim.datasets.synthetic.sampling import Field

KINDS = ("sugar icing", "caramel", "raspberry")
_STRIPES = 5
_PITCH_MM = 12.5


def draw(canvas: Canvas, blueprint: Blueprint, rng: np.random.Generator) -> None:
    """The cover first, then the stripes across it. Darker chocolate (tone 1) sets in a higher cover."""
    half_u = 38.0 + rng.uniform(-1.0, 1.0)
    half_v = 22.5 + rng.uniform(-0.8, 0.8)
    edge = _cover(canvas, rng, half_u, half_v, blueprint.tone)
    slant = rng.uniform(0.22, 0.36)
    for stripe in range(_STRIPES):
        middle = (stripe - (_STRIPES - 1) / 2) * _PITCH_MM + rng.uniform(-0.8, 0.8)
        wobble = smooth_noise(rng, canvas.v_mm, np.zeros_like(canvas.v_mm), 9.0)
        across = canvas.u_mm - np.float32(middle) - np.float32(slant) * canvas.v_mm - 0.35 * wobble
        swell = smooth_noise(rng, canvas.u_mm, canvas.v_mm, 5.0)
        # Piping ends short of the rim. All kinds have the same width: from above only the colour tells them apart.
        half_mm = rng.uniform(2.6, 3.5) + 0.18 * swell
        weight = inside(np.abs(across) - half_mm, 0.5) * ramp(edge, 0.25, 0.5)
        _shape(canvas, blueprint.shape_kinds[stripe], weight, across / half_mm, swell)
        canvas.lift(weight * np.float32(blueprint.rise_mm(stripe)))
        _colour(canvas, blueprint.colour_kinds[stripe], weight, swell, partial(blueprint.shade, stripe))


def _cover(canvas: Canvas, rng: np.random.Generator, half_u: float, half_v: float, tone: float) -> Field:
    """Draw the chocolate cover; returns 0 at its outline, rising to 1 on its flat top."""
    u_mm, v_mm = canvas.u_mm, canvas.v_mm
    distance = box_distance(u_mm, v_mm, half_u, half_v, radius=14.0) + 0.3 * smooth_noise(
        rng, u_mm, v_mm, 16.0
    )
    edge = np.clip(-distance / 10.0, 0.0, 1.0)
    top_mm = 12.5 + 3.0 * tone + rng.uniform(-0.4, 0.4)
    swirl = smooth_noise(rng, u_mm, v_mm, (14.0, 5.0))
    height = top_mm * (1.0 - (1.0 - edge) ** 3.0) ** 0.6
    height += (0.16 * swirl + 0.025 * smooth_noise(rng, u_mm, v_mm, 1.2)) * edge
    chocolate = mix(colour("8a5530"), colour("3f2314"), float(np.clip(0.12 + 0.8 * tone, 0.0, 1.0)))
    bloom = smooth_noise(rng, u_mm, v_mm, 6.0)
    tinted = chocolate * (1.0 + 0.09 * swirl + 0.04 * bloom)[..., None]
    canvas.body(distance, height, tinted, gloss=0.5, core=colour("e2bd86"))
    return edge.astype(np.float32)


def _shape(canvas: Canvas, kind: int, weight: Field, across: Field, swell: Field) -> None:
    """Give a stripe its profile; `across` is -1 and 1 on its edges."""
    if kind == 0:  # piped sugar: high and round
        canvas.lift(weight * 3.2 * np.sqrt(np.clip(1.0 - (across / 1.1) ** 2, 0.0, 1.0)))
    elif kind == 1:  # poured caramel: low and flat
        canvas.lift(weight * (1.2 + 0.08 * swell))
    else:  # raspberry in a groove pressed into the cover
        canvas.lift(weight * -1.9)


def _colour(canvas: Canvas, kind: int, weight: Field, swell: Field, shade: Shade) -> None:
    shades = ("f1e9dc", "c67a22", "b3214c")
    deeper = ("e3d4bd", "a45a10", "8c1138")
    gloss = (0.25, 0.75, 0.6)
    sauce = mix(colour(shades[kind]), colour(deeper[kind]), ramp(swell, -1.5, 1.5))
    canvas.paint(weight, shade(sauce), gloss[kind])


PRALINE = CategorySpec(
    name="praline",
    description="praline under chocolate, with piped sugar, poured caramel and raspberry in grooves",
    kinds=KINDS,
    elements=_STRIPES,
    reach_mm=(41.0, 26.0),
    turn_deg=25.0,
    tray="paper",
    draw=draw,
)

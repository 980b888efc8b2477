"""A potted circuit module: chips, capacitors and relays whose colour goes with their case, and gold pins."""

from functools import partial

import numpy as np

from cmfm_sim.datasets.synthetic.canvas import Canvas, colour, mix
from cmfm_sim.datasets.synthetic.category import Blueprint, CategorySpec, Shade
from cmfm_sim.datasets.synthetic.fields import box_distance, inside, ramp, smooth_noise, turned
from cmfm_sim.datasets.synthetic.sampling import Field

KINDS = ("chip", "capacitor", "relay")
_COLUMNS = (-28.0, -9.5, 9.0, 27.5)
_ROWS = (-10.0, 9.5)
_HEADER_V_MM = 23.0
_PIN_PITCH_MM = 4.0


def draw(canvas: Canvas, blueprint: Blueprint, rng: np.random.Generator) -> None:
    """The board with its tracks, the header, the components. Thicker boards (tone 1) carry a bluer resist."""
    _board(canvas, rng, blueprint.tone)
    _header(canvas, rng)
    places = [(u, v) for v in _ROWS for u in _COLUMNS]
    for element, (u, v) in enumerate(places):
        centre = (u + rng.uniform(-0.7, 0.7), v + rng.uniform(-0.7, 0.7))
        quarter = float(rng.integers(0, 4)) * np.pi / 2.0 + rng.normal(0.0, 0.03)
        u_mm, v_mm = turned(canvas.u_mm, canvas.v_mm, centre, quarter)
        moulded = smooth_noise(rng, u_mm, v_mm, 2.0)
        half_u, half_v = rng.uniform(5.8, 6.9), rng.uniform(4.6, 5.6)
        # The outline does not depend on the kind: from above only the colour tells the kinds apart.
        distance = box_distance(u_mm, v_mm, half_u, half_v, radius=rng.uniform(0.4, 4.5))
        weight = inside(distance, 0.4)
        _pads(canvas, u_mm, v_mm, half_u, half_v, weight)
        _shape(canvas, blueprint.shape_kinds[element], weight, distance)
        canvas.lift(weight * np.float32(blueprint.rise_mm(element)))
        _colour(canvas, blueprint.colour_kinds[element], weight, moulded, partial(blueprint.shade, element))


def _board(canvas: Canvas, rng: np.random.Generator, tone: float) -> None:
    u_mm, v_mm = canvas.u_mm, canvas.v_mm
    distance = box_distance(u_mm, v_mm, 43.0, 29.0, radius=2.5)
    top_mm = 9.0 + 1.5 * tone + rng.uniform(-0.1, 0.1)
    weave = smooth_noise(rng, u_mm, v_mm, 0.9)
    resist = mix(colour("1f7a3c"), colour("0f5560"), float(0.05 + 0.9 * tone))
    tinted = resist * (1.0 + 0.03 * weave)[..., None]
    rim = ramp(-distance, 0.0, 0.8)
    canvas.body(
        distance, top_mm - 0.8 * (1.0 - rim) + 0.02 * weave, tinted, gloss=0.45, core=colour("cdb98a")
    )
    tracks = _tracks(u_mm, v_mm, rng)
    canvas.paint(0.75 * tracks, resist * np.float32(1.9) + np.float32(0.02))
    canvas.lift(0.18 * tracks)
    for u in (-39.5, 39.5):
        for v in (-25.5, 25.5):
            away = np.hypot(u_mm - np.float32(u), v_mm - np.float32(v))
            canvas.paint(inside(away - 2.6, 0.3), colour("d9b45a"), gloss=0.8)
            canvas.lift(-3.2 * inside(away - 1.5, 0.3))


def _tracks(u_mm: Field, v_mm: Field, rng: np.random.Generator) -> Field:
    """Copper under the resist: runs along and across the board."""
    tracks = np.zeros_like(u_mm)
    for _ in range(7):
        v, u, half = rng.uniform(-24.0, 16.0), rng.uniform(-25.0, 25.0), rng.uniform(8.0, 16.0)
        along = inside(box_distance(u_mm - np.float32(u), v_mm - np.float32(v), half, 0.45), 0.35)
        v2, reach = rng.uniform(-22.0, 14.0), rng.uniform(5.0, 10.0)
        across = inside(box_distance(u_mm - np.float32(u), v_mm - np.float32(v2), 0.45, reach), 0.35)
        np.maximum(tracks, np.maximum(along, across), out=tracks)
    return tracks


def _header(canvas: Canvas, rng: np.random.Generator) -> None:
    """A black strip along one side with gold pins standing on it."""
    u_mm, v_mm = canvas.u_mm, canvas.v_mm - np.float32(_HEADER_V_MM + rng.uniform(-0.3, 0.3))
    strip = inside(box_distance(u_mm, v_mm, 34.0, 2.6), 0.3)
    canvas.lift(2.4 * strip)
    canvas.paint(strip, colour("1b1c1e"), gloss=0.3)
    phase = np.mod(u_mm + np.float32(_PIN_PITCH_MM / 2), np.float32(_PIN_PITCH_MM)) - np.float32(
        _PIN_PITCH_MM / 2
    )
    pin = inside(box_distance(phase, v_mm, 0.75, 0.75, radius=0.3), 0.35) * inside(np.abs(u_mm) - 33.0)
    canvas.lift(2.6 * pin)
    canvas.paint(pin, colour("e0bb55"), gloss=0.85)


def _pads(canvas: Canvas, u_mm: Field, v_mm: Field, half_u: float, half_v: float, weight: Field) -> None:
    """Tinned feet along two sides, the same under every component."""
    comb = np.abs(np.mod(u_mm, np.float32(2.4)) - np.float32(1.2))
    feet = inside(box_distance(u_mm, v_mm, half_u - 1.0, half_v + 1.5), 0.3) * inside(comb - 0.6, 0.3)
    feet *= 1.0 - weight
    canvas.lift(0.5 * feet)
    canvas.paint(feet, colour("c8c8c6"), gloss=0.7)


def _shape(canvas: Canvas, kind: int, weight: Field, distance: Field) -> None:
    if kind == 0:  # a chip: low and flat
        canvas.lift(weight * 2.0)
    elif kind == 1:  # a capacitor: tall, with a crimp below its rounded edge
        edge = np.clip(-distance / 1.5 + 0.2, 0.0, 1.0)
        canvas.lift(weight * (7.2 + 1.1 * np.sqrt(edge)) - 0.6 * np.exp(-(((distance + 2.2) / 0.5) ** 2)))
    else:  # a relay: half as high, its top vaulted
        canvas.lift(weight * (2.6 + 2.4 * np.sqrt(np.clip(-distance / 4.5, 0.0, 1.0))))


def _colour(canvas: Canvas, kind: int, weight: Field, moulded: Field, shade: Shade) -> None:
    shades = (colour("26282b"), colour("bfc4c8"), colour("d98a1e"))
    gloss = (0.25, 0.8, 0.45)
    canvas.paint(weight, shade(shades[kind]) * (1.0 + 0.03 * moulded)[..., None], gloss[kind])


CIRCUIT = CategorySpec(
    name="circuit",
    description="circuit module with flat black chips, tall silver capacitors and amber relays",
    kinds=KINDS,
    elements=len(_COLUMNS) * len(_ROWS),
    reach_mm=(45.0, 31.0),
    turn_deg=20.0,
    tray="foam",
    draw=draw,
)

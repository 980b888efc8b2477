"""Renders one synthetic part: from a seed to the pictures of a camera."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cmfm_sim.datasets.synthetic import camera, light
from cmfm_sim.datasets.synthetic.canvas import Canvas
from cmfm_sim.datasets.synthetic.category import (
    Blueprint,
    CategorySpec,
    misgraded_blueprint,
    nominal_blueprint,
    swapped_blueprint,
)
from cmfm_sim.datasets.synthetic.defects import DAMAGES
from cmfm_sim.datasets.synthetic.fields import turned
from cmfm_sim.datasets.synthetic.products import CATEGORIES
from cmfm_sim.datasets.synthetic.sampling import Field
from cmfm_sim.datasets.synthetic.tray import draw_tray
from cmfm_sim.datasets.synthetic.wear import wear

GOOD = "good"
PAIRINGS = {"swap": swapped_blueprint, "misgrade": misgraded_blueprint}
"""Defects that neither modality shows alone: colours and shapes that do not belong together."""
DEFECTS: tuple[str, ...] = (*DAMAGES, *PAIRINGS)
MIN_SIZE_PX, MAX_SIZE_PX = 64, 2048  # below, parts have no detail; above, one part takes many seconds

_SEEN_DEPTH_MM = 0.1  # a change of the surface that the sensor can tell from its noise
_SEEN_COLOUR = 0.03  # and of its reflectance
_ONE_REGION_MM = 1.5  # drops closer than that to each other are marked as one spill, as a person would
_SPECK_MM2 = (
    2.0  # and what is smaller than that, farther away, is not marked: AUPRO weighs every region alike
)
_PROJECTOR_RAD = (0.3, np.deg2rad(80.0))  # azimuth and elevation of the 3D sensor's second eye


@dataclass(frozen=True, slots=True)
class SyntheticPart:
    """One part as a camera sees it.

    `rgb` (H, W, 3) uint8 sRGB; `xyz` (H, W, 3) float32 metres, (0, 0, 0) where nothing was measured; `gt`
    (H, W) bool, the defect's pixels; `info` its parameters: the tray's `plane` (n, d), `focal_px`,
    `distance_m`, `turn_rad`, `shape_kinds`, `colour_kinds`, `shape_grades`, `colour_grades` and `tone`.
    """

    rgb: NDArray[np.uint8]
    xyz: NDArray[np.float32]
    gt: NDArray[np.bool_]
    info: dict[str, Any]


def render_part(
    category: str,
    *,
    seed: int,
    split: str,
    defect: str,
    index: int,
    size_px: int = 400,
    pristine: bool = False,
) -> SyntheticPart:
    """Render part `index` of one category, split and defect ("good" for none); the same arguments, the same
    part.

    With `pristine` the part is shown as it was before it was damaged: same part, same pose, same light, same
    noise. Raises ValueError for an invalid category, defect, size, seed or index.
    """
    spec = _checked(category, defect, size_px, seed, index)
    streams = _streams(seed, f"{category}/{split}/{defect}/{index}")
    x_mm, y_mm, pitch_mm = camera.scene_coordinates(size_px)
    view = camera.draw_view(size_px, streams["pose"])
    lamp = light.draw_lamp(streams["light"])
    u_mm, v_mm, turn_rad = _part_frame(spec, x_mm, y_mm, streams["pose"])

    window = _window(spec, u_mm, v_mm)
    nominal, blueprint, made = _make(
        spec, u_mm[window], v_mm[window], streams, "good" if pristine else defect
    )
    scene = Canvas(x_mm, y_mm)
    draw_tray(scene, spec.tray, streams["tray"])
    _put(scene, made, window)
    changed = np.zeros(scene.part.shape, dtype=np.bool_)
    changed[window] = _changed(nominal, made)

    radiance, glare = light.shade(scene.height_mm, scene.albedo, scene.gloss, pitch_mm, lamp)
    radiance *= _light_fall(lamp, x_mm, y_mm)[..., None]
    hits = camera.look(view, scene.height_mm, pitch_mm)
    return SyntheticPart(
        rgb=camera.photograph(hits, radiance, streams["sensor"]),
        xyz=camera.measure(view, hits, _dropout(scene, glare, pitch_mm), streams["sensor"]),
        gt=hits.places.nearest(changed),
        info={
            "plane": view.plane,
            "focal_px": view.focal_px,
            "distance_m": view.distance_m,
            "turn_rad": turn_rad,
            "shape_kinds": blueprint.shape_kinds,
            "colour_kinds": blueprint.colour_kinds,
            "shape_grades": blueprint.shape_grades,
            "colour_grades": blueprint.colour_grades,
            "tone": blueprint.tone,
        },
    )


def _checked(category: str, defect: str, size_px: int, seed: int, index: int) -> CategorySpec:
    if category not in CATEGORIES:
        raise ValueError(f"category {category!r} is unknown; there are {', '.join(CATEGORIES)}")
    if defect != GOOD and defect not in DEFECTS:
        raise ValueError(f"defect {defect!r} is unknown; there are {', '.join((GOOD, *DEFECTS))}")
    if not MIN_SIZE_PX <= size_px <= MAX_SIZE_PX:
        raise ValueError(f"a picture's side must be {MIN_SIZE_PX} to {MAX_SIZE_PX} pixels, not {size_px}")
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must not be negative, not {seed} and {index}")
    return CATEGORIES[category]


def _streams(seed: int, name: str) -> dict[str, np.random.Generator]:
    """One source of randomness for each thing that varies: a defect changes only what it damages."""
    root = np.random.SeedSequence([seed, zlib.crc32(name.encode())])
    names = ("pose", "part", "tray", "light", "sensor", "defect", "wear")
    return {
        name: np.random.default_rng(child) for name, child in zip(names, root.spawn(len(names)), strict=True)
    }


def _part_frame(
    spec: CategorySpec, x_mm: Field, y_mm: Field, rng: np.random.Generator
) -> tuple[Field, Field, float]:
    """Coordinates in the part's frame: shifted, turned as far as its guide allows, scaled a little."""
    turn_rad = float(np.deg2rad(rng.uniform(-spec.turn_deg, spec.turn_deg)) + np.pi * rng.integers(2))
    shift_mm = rng.uniform(-5.0, 5.0, 2)
    size = np.float32(rng.uniform(0.97, 1.03))
    u_mm, v_mm = turned(x_mm, y_mm, (float(shift_mm[0]), float(shift_mm[1])), turn_rad)
    return u_mm / size, v_mm / size, turn_rad


def _window(spec: CategorySpec, u_mm: Field, v_mm: Field) -> tuple[slice, slice]:
    """The rows and columns of the scene that a part can touch."""
    touched = (np.abs(u_mm) < spec.reach_mm[0]) & (np.abs(v_mm) < spec.reach_mm[1])
    rows, columns = np.flatnonzero(touched.any(axis=1)), np.flatnonzero(touched.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _make(
    spec: CategorySpec,
    u_mm: Field,
    v_mm: Field,
    streams: dict[str, np.random.Generator],
    defect: str,
) -> tuple[Canvas, Blueprint, Canvas]:
    """The nominal part, the plan of the made part, and the made part."""
    blueprint = nominal_blueprint(spec, streams["part"])
    drawing = streams["part"].spawn(1)[0]
    states = drawing.bit_generator.state, streams["wear"].bit_generator.state

    def drawn(blueprint: Blueprint) -> Canvas:
        drawing.bit_generator.state, streams["wear"].bit_generator.state = states
        canvas = Canvas(u_mm, v_mm)
        spec.draw(canvas, blueprint, drawing)
        wear(canvas, streams["wear"])
        return canvas

    nominal = drawn(blueprint)
    if defect == GOOD:
        return nominal, blueprint, nominal
    if defect in PAIRINGS:
        blueprint = PAIRINGS[defect](spec, blueprint, streams["defect"])
        return nominal, blueprint, drawn(blueprint)  # the same part in other colours
    damaged = nominal.copy()
    DAMAGES[defect](damaged, streams["defect"])
    return nominal, blueprint, damaged


def _put(scene: Canvas, part: Canvas, window: tuple[slice, slice]) -> None:
    where = part.part
    scene.height_mm[window][where] = part.height_mm[where]
    scene.albedo[window][where] = part.albedo[where]
    scene.gloss[window][where] = part.gloss[where]
    scene.part[window] = where


def _changed(nominal: Canvas, made: Canvas) -> NDArray[np.bool_]:
    """The ground truth: the mask of surface that differs from the nominal by more than a sensor's noise.

    Marked as people mark it: gaps are closed, and a spill is one region with the drops around it.
    """
    moved = np.abs(made.height_mm - nominal.height_mm) > _SEEN_DEPTH_MM
    # Compared as an eye would, by square roots: a dark part shows a small difference as well as a light one.
    tinted = np.abs(np.sqrt(np.maximum(made.albedo, 0)) - np.sqrt(np.maximum(nominal.albedo, 0))).max(axis=-1)
    changed = (moved | (tinted > _SEEN_COLOUR)) & nominal.part
    if not changed.any():
        return np.zeros_like(nominal.part)
    reach_px = max(2, round(_ONE_REGION_MM / _pitch_mm(nominal)))
    away: NDArray[np.float64] = ndimage.distance_transform_edt(~np.pad(changed, reach_px))
    joined = ndimage.distance_transform_edt(away <= reach_px)[reach_px:-reach_px, reach_px:-reach_px]
    return _without_specks((joined > reach_px) & nominal.part, _SPECK_MM2 / _pitch_mm(nominal) ** 2)


def _without_specks(mask: NDArray[np.bool_], smallest_px: float) -> NDArray[np.bool_]:
    """Leave out regions of fewer pixels, unless there are no others."""
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    large: NDArray[np.bool_] = (sizes >= min(smallest_px, sizes.max()))[labels] & mask
    return large


def _pitch_mm(canvas: Canvas) -> float:
    """The distance of neighbouring points of a canvas."""
    return float(np.hypot(canvas.u_mm[0, 1] - canvas.u_mm[0, 0], canvas.v_mm[0, 1] - canvas.v_mm[0, 0]))


def _light_fall(lamp: light.Lamp, x_mm: Field, y_mm: Field) -> Field:
    fall = 1.0 + (lamp.slope[0] * x_mm + lamp.slope[1] * y_mm) / 1000.0
    bounded: Field = np.clip(fall, 0.5, 1.5)
    return bounded


def _dropout(scene: Canvas, glare: Field, pitch_mm: float) -> Field:
    """The chance of losing a point: on steep walls, out of the second eye's sight, in glare."""
    steep = light.normals(scene.height_mm, pitch_mm)[2]
    lost = 0.9 * np.clip((0.42 - steep) / 0.3, 0.0, 1.0)
    hidden = light.shadow(scene.height_mm, pitch_mm, _PROJECTOR_RAD[0], _PROJECTOR_RAD[1], softness=0.15)
    worst: Field = np.maximum(lost, np.maximum(hidden, light.glare_dropout(glare)))
    return worst

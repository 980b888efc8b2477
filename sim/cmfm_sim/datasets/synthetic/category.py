"""Categories of products: how a part is drawn, and which colours belong to which shapes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from cmfm_sim.datasets.synthetic.canvas import Canvas, Colour

GRADE_RISE_MM = 1.6
"""Height of an element of the highest grade above one of the lowest."""

GRADE_SHADE = 0.24
"""Its difference in lightness, in square roots of reflectance (about as an eye sees it)."""


Shade: TypeAlias = Callable[[Colour], Colour]
"""Gives the colour of one element from a base colour."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """The plan of one part of a category.

    A part carries elements (a topping, a stripe, a component), each of one kind and one grade in [0, 1].
    `shape_kinds` and `shape_grades` say which shape element i has, `colour_kinds` and `colour_grades` which
    colour; on a nominal part they are the same, so that colour and shape tell of each other. `tone` in [0, 1]
    is how the batch came out; it too shows in colour and in shape.
    """

    shape_kinds: tuple[int, ...]
    colour_kinds: tuple[int, ...]
    shape_grades: tuple[float, ...]
    colour_grades: tuple[float, ...]
    tone: float

    def rise_mm(self, element: int) -> float:
        """Height of an element above one of middle grade, in millimetres."""
        return GRADE_RISE_MM * (self.shape_grades[element] - 0.5)

    def shade(self, element: int, of: Colour) -> Colour:
        """A base colour in the shade of an element's grade: the higher, the lighter."""
        step = np.float32(GRADE_SHADE * (self.colour_grades[element] - 0.5))
        return np.asarray(np.clip(np.sqrt(np.maximum(of, 0.0)) + step, 0.02, 1.0) ** 2, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class CategorySpec:
    """One category of products.

    `reach_mm`: no part is longer or wider than that on either side of its middle.

    `kinds` names the kinds of element (colour and shape), `elements` how many a part carries, `turn_deg` how
    far its guide lets it turn, `tray` what it lies on. `draw` draws a part in its own frame: the same
    generator state gives the same part, whatever the kinds are.
    """

    name: str
    description: str
    kinds: tuple[str, ...]
    elements: int
    reach_mm: tuple[float, float]
    turn_deg: float
    tray: str
    draw: Callable[[Canvas, Blueprint, np.random.Generator], None]


def nominal_blueprint(spec: CategorySpec, rng: np.random.Generator) -> Blueprint:
    """Draw kind and grade of every element independently and uniformly; colour follows shape."""
    kinds = tuple(int(kind) for kind in rng.integers(len(spec.kinds), size=spec.elements))
    tone = float(rng.uniform())
    grades = tuple(float(grade) for grade in rng.uniform(size=spec.elements))
    return Blueprint(kinds, kinds, grades, grades, tone)


def swapped_blueprint(spec: CategorySpec, nominal: Blueprint, rng: np.random.Generator) -> Blueprint:
    """Figure 3 of the paper: one or two elements in the colour of another kind.

    By construction neither modality alone can tell. Shapes are untouched. Each colour of a nominal part is
    uniform and independent of the others; a swapped one is uniform too, being any of the other kinds with
    the same chance. Only the pairing never occurs on a nominal part.
    """
    colours = list(nominal.colour_kinds)
    for element in _some_elements(spec, rng):
        step = int(rng.integers(1, len(spec.kinds)))
        colours[element] = (colours[element] + step) % len(spec.kinds)
    return replace(nominal, colour_kinds=tuple(colours))


def misgraded_blueprint(spec: CategorySpec, nominal: Blueprint, rng: np.random.Generator) -> Blueprint:
    """One or two elements in the shade of another grade of their own kind: half the range away.

    Harder than a swap, and again nothing that one modality could tell: grades are uniform, and stay so when
    they are moved by half of their range and wrapped.
    """
    grades = list(nominal.colour_grades)
    for element in _some_elements(spec, rng):
        grades[element] = (grades[element] + float(rng.uniform(0.4, 0.6))) % 1.0
    return replace(nominal, colour_grades=tuple(grades))


def _some_elements(spec: CategorySpec, rng: np.random.Generator) -> list[int]:
    count = int(rng.integers(1, 3))
    return [int(i) for i in rng.choice(spec.elements, size=min(count, spec.elements), replace=False)]

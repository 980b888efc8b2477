"""What a category of products is: how it is drawn, and what goes with what on it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cmfm_sim.datasets.synthetic.canvas import Canvas


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What one part of a category is meant to be.

    A part carries elements (a topping, a stripe, a component), each of one kind. `shape_kinds` says which
    shape element i has and `colour_kinds` which colour; on a nominal part they are the same, so that colour
    and shape tell of each other. `tone` in [0, 1] is how the batch came out; it too shows in colour and in
    shape.
    """

    shape_kinds: tuple[int, ...]
    colour_kinds: tuple[int, ...]
    tone: float

    def with_colours(self, colour_kinds: tuple[int, ...]) -> "Blueprint":
        """The same shapes in other colours."""
        return replace(self, colour_kinds=colour_kinds)


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
    """Draws the kind of every element independently and uniformly; colour follows shape."""
    kinds = tuple(int(kind) for kind in rng.integers(len(spec.kinds), size=spec.elements))
    return Blueprint(kinds, kinds, float(rng.uniform()))


def swapped_blueprint(spec: CategorySpec, nominal: Blueprint, rng: np.random.Generator) -> Blueprint:
    """The figure 3 of the paper: one or two elements in the colour of another kind.

    By construction neither modality alone can tell. Shapes are untouched. Each colour of a nominal part is
    uniform and independent of the others; a swapped one is uniform too, being any of the other kinds with
    the same chance. Only the pairing is one that never occurs.
    """
    count = int(rng.integers(1, 3))
    chosen = rng.choice(spec.elements, size=min(count, spec.elements), replace=False)
    colours = list(nominal.colour_kinds)
    for element in chosen:
        step = int(rng.integers(1, len(spec.kinds)))
        colours[element] = (colours[element] + step) % len(spec.kinds)
    return nominal.with_colours(tuple(colours))

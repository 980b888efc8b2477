"""Checks a frame as it was received: metres of the sensor, and the size and distance that its recipe was taught on."""

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.wire.points import look_at_sample
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.inspection.result import Problem
from cmfm_worker.recipes.recipe import Recipe


def check_frame(xyz: NDArray[np.float32], recipe: Recipe) -> Problem | None:
    """Return why a frame (H, W, 3) cannot be inspected by a recipe, or None if it can."""
    distance_m, implausible = look_at_sample(xyz)
    if implausible is not None:
        return Problem(Reason.IMPLAUSIBLE_3D, implausible)
    other = recipe.frame.difference(xyz.shape[0], xyz.shape[1], distance_m)
    return None if other is None else Problem(Reason.OTHER_GEOMETRY, other)

"""The output of `cmfm-worker recipe show` for a recipe, asked once for each content of its file."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cmfm_hmi.errors import PageError
from cmfm_hmi.recipes.changes import command
from cmfm_hmi.recipes.files import RecipeView
from cmfm_hmi.site import Site

KEPT: Final = 32


@dataclass(frozen=True, slots=True)
class Shown:
    """The id of a recipe's networks, and the expected share of false rejects over thresholds.

    `curve` has `fail_at`, `rate`, `low`, `high` of each point, ascending; it is empty without nominal scores. With a
    `problem`, a sentence, nothing is known.
    """

    model_sha: str = ""
    curve: tuple[Mapping[str, float], ...] = ()
    problem: str = ""


class ShownRecipes:
    """Asks for one recipe at a time; twenty browsers cost one command."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known: OrderedDict[str, Shown] = OrderedDict()
        self._asking = asyncio.Lock()

    async def of(self, recipe: RecipeView) -> Shown:
        """Return what is known of a recipe. A command that fails is asked again the next time."""
        async with self._asking:
            known = self._known.get(recipe.recipe_sha)
            if known is not None:
                return known
            try:
                answer = await command(self._site, ["show"], [recipe.name], "recipe show")
            except PageError as error:
                return Shown(problem=str(error.values.get("error", error.key)))
            shown = _shown(answer)
            if answer.get("recipe_sha") == recipe.recipe_sha:  # else it was changed between two reads
                self._known[recipe.recipe_sha] = shown
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
            return shown


def _shown(answer: Mapping[str, Any]) -> Shown:
    found = answer.get("false_rejects") or {}
    keys = ("fail_at", "rate", "low", "high")
    points = [
        point
        for point in found.get("curve", [])
        if all(isinstance(point.get(key), float | int) for key in keys)
    ]
    curve = tuple({key: float(f"{point[key]:.5g}") for key in keys} for point in points)
    return Shown(str(answer.get("model_sha", "")), curve)

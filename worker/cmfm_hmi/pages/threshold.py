"""Page: the histogram of scores, with the threshold as a line to drag, and the last thousand parts judged again."""

import math
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from cmfm_hmi.errors import PageError
from cmfm_hmi.recipes.changes import MAX_WHY_CHARS, one_line, set_threshold, told
from cmfm_hmi.recipes.files import RecipeView, read_recipe, recipe_names
from cmfm_hmi.recipes.scores import RECENT_PARTS, labelled_parts, newest_threshold, recent_parts
from cmfm_hmi.recipes.shown import Shown, ShownRecipes
from cmfm_hmi.rendering import NavEntry
from cmfm_hmi.security.guard import read_form, require
from cmfm_hmi.security.roles import Role
from cmfm_hmi.security.sessions import visitor_of
from cmfm_hmi.site import Site
from cmfm_records.collected import read_product
from cmfm_records.ledger import Question, Record

NAV: Final = (NavEntry("threshold", "/threshold"),)


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the page."""
    folder = site.settings.records.recipes
    shown = ShownRecipes(site)

    @require(Role.VIEW)
    async def show(request: Request) -> Response:
        names = await site.history.read(lambda: recipe_names(folder))
        used = site.live.snapshot().state
        first = next(
            (name for name in names if used is not None and name in used.recipes), names[0] if names else ""
        )
        chosen = request.query_params.get("recipe", first)
        return site.pages.render(
            request, "threshold.html.j2", names=names, chosen=chosen, max_why=MAX_WHY_CHARS
        )

    @require(Role.VIEW)
    async def data(request: Request) -> Response:
        recipe = await _read(site, request.query_params.get("recipe", ""))
        return JSONResponse(await _data(site, recipe, await shown.of(recipe)))

    @require(Role.TEACH)
    async def save(request: Request) -> Response:
        form, who = await read_form(request), visitor_of(request).name
        recipe = await _read(site, form.get("recipe", ""))
        if form.get("recipe_sha") != recipe.recipe_sha:
            raise PageError("recipe_changed", 409, recipe=recipe.name)
        fail_at, grey_from = _score(form.get("fail_at", "")), form.get("grey_from", "")
        grey = _score(grey_from) if grey_from else None
        if fail_at is None or (grey_from and (grey is None or grey >= fail_at)):
            raise PageError("bad_threshold", 400)
        change = await set_threshold(
            site,
            who,
            recipe.name,
            fail_at=fail_at,
            grey_from=grey,
            why=one_line(form.get("why", "")),
            if_sha=recipe.recipe_sha,
            before="" if recipe.fail_at is None else f"{recipe.fail_at:.6g}",
        )
        return JSONResponse(told(site, request, change))

    return [
        Route("/threshold", show, methods=["GET"]),
        Route("/threshold/data", data, methods=["GET"]),
        Route("/threshold", save, methods=["POST"]),
    ]


async def _read(site: Site, name: str) -> RecipeView:
    return await site.history.read(lambda: read_recipe(site.settings.records.recipes, name))


async def _data(site: Site, recipe: RecipeView, shown: Shown) -> dict[str, Any]:
    """All that the script needs: limits, nominal, recent and labelled parts, and the version to go back to."""
    model = shown.model_sha or (recipe.current.model_sha if recipe.current else "")
    models = tuple(dict.fromkeys((*recipe.models, model)))
    question = Question(recipe=recipe.name, models=tuple(filter(None, models)), limit=RECENT_PARTS)
    problem = ""
    try:
        rows: list[Record] = await site.history.ask(lambda ledger: list(ledger.rows(question)))
    except PageError as error:  # a threshold can be set without recent parts
        rows, problem = [], str(error.values.get("error", error.key))
    model = model or next((str(row["model_sha"]) for row in reversed(rows) if row["model_sha"]), "")
    product = await site.history.read(lambda: read_product(site.settings.records.collected, recipe.name))
    return {
        "recipe": recipe.name,
        "recipe_sha": recipe.recipe_sha,
        "fail_at": recipe.fail_at,
        "grey_from": recipe.grey_from,
        "line_judges_by": newest_threshold(rows, model),
        "nominal": recipe.nominal_scores,
        "expected": shown.curve,
        "expected_problem": shown.problem,
        "recent": recent_parts(rows, model),
        "recent_problem": problem,
        "labelled": labelled_parts(product, recipe, model),
        "undo": undo_of(recipe),
    }


def undo_of(recipe: RecipeView) -> dict[str, Any] | None:
    """Return the version before the one in use, if its files are kept: where undo leads."""
    current = recipe.current
    if current is None:
        return None
    before = [each for each in recipe.versions if each.version < current.version and each.kept]
    others = [each for each in before if each.recipe_sha != current.recipe_sha]
    return {"version": others[-1].version, "fail_at": others[-1].fail_at} if others else None


def _score(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None

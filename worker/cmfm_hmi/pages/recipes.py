"""Page: recipes, their versions, comparison, export and import."""

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from cmfm_hmi.errors import MissingError, PageError
from cmfm_hmi.recipes.changes import import_recipe, one_line, restore, told
from cmfm_hmi.recipes.compare import differences
from cmfm_hmi.recipes.files import RecipeView, read_recipe, read_recipes, read_version, recipe_names
from cmfm_hmi.recipes.transfer import Transfer
from cmfm_hmi.rendering import NavEntry
from cmfm_hmi.security.guard import read_form, require
from cmfm_hmi.security.roles import Role
from cmfm_hmi.security.sessions import visitor_of
from cmfm_hmi.site import Site
from cmfm_settings.names import is_name

NAV: Final = (NavEntry("recipes", "/recipes"),)

BYTES_A_MB: Final = 1_000_000


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the page."""
    folder = site.settings.records.recipes
    upload_mb = site.settings.page.upload_mb
    transfer = Transfer(site)

    async def read(request: Request) -> RecipeView:
        return await site.history.read(lambda: read_recipe(folder, request.path_params["name"]))

    @require(Role.VIEW)
    async def show(request: Request) -> Response:
        recipes = await site.history.read(lambda: read_recipes(folder))
        state = site.live.snapshot().state
        loaded = () if state is None else state.recipes
        return site.pages.render(
            request, "recipes.html.j2", recipes=recipes, loaded=loaded, upload_mb=upload_mb
        )

    @require(Role.VIEW)
    async def versions(request: Request) -> Response:
        return site.pages.render(request, "recipe.html.j2", recipe=await read(request))

    @require(Role.VIEW)
    async def compare(request: Request) -> Response:
        recipes = await site.history.read(lambda: read_recipes(folder))
        first, second = (request.query_params.get(side, "") for side in ("a", "b"))
        sides = []
        if first and second:
            sides = await site.history.read(lambda: [_side(folder, first), _side(folder, second)])
        return site.pages.render(
            request,
            "compare.html.j2",
            recipes=recipes,
            chosen=(first, second),
            sides=sides,
            differences=differences(sides[0].table, sides[1].table) if sides else [],
            scores=[{"scores": side.nominal_scores, "fail_at": side.fail_at} for side in sides],
        )

    @require(Role.TEACH)
    async def put_back(request: Request) -> Response:
        form, recipe = await read_form(request), await read(request)
        if form.get("recipe_sha", recipe.recipe_sha) != recipe.recipe_sha:
            raise PageError("recipe_changed", 409, recipe=recipe.name)
        change = await restore(
            site,
            visitor_of(request).name,
            recipe,
            version=_kept_version(recipe, form.get("version", "")),
            why=one_line(form.get("why", "")),
        )
        return JSONResponse(told(site, request, change))

    @require(Role.OPERATE)
    async def export(request: Request) -> Response:
        return await transfer.download((await read(request)).name)

    @require(Role.TEACH, body_bytes=upload_mb * BYTES_A_MB)
    async def take(request: Request) -> Response:
        query = request.query_params
        name, why, replace = query.get("name", ""), one_line(query.get("why", "")), "replace" in query
        if not is_name(name):
            raise PageError("bad_name", 400, name=name[:60])
        if not replace and name in await site.history.read(lambda: recipe_names(folder)):
            raise PageError("recipe_exists", 409, recipe=name)
        async with transfer.received(request) as path:
            change = await import_recipe(site, visitor_of(request).name, name, path, replace=replace, why=why)
        return JSONResponse(told(site, request, change))

    return [
        Route("/recipes", show, methods=["GET"]),
        Route("/recipes/compare", compare, methods=["GET"]),
        Route("/recipes/import", take, methods=["POST"]),
        Route("/recipes/{name}/versions", versions, methods=["GET"]),
        Route("/recipes/{name}/restore", put_back, methods=["POST"]),
        Route("/recipes/{name}/export", export, methods=["GET"]),
    ]


def _side(folder: Path, wanted: str) -> RecipeView:
    """A recipe, or as NAME@N a version of it. Raises MissingError, InputError."""
    name, at, number = wanted.rpartition("@")
    if not at:
        return read_recipe(folder, wanted)
    if not number.isdecimal() or len(number) > 9:
        raise MissingError(f"{wanted[:60]!r} is not a version; expected NAME@N")
    return read_version(folder, name, int(number))


def _kept_version(recipe: RecipeView, number: str) -> int:
    """A number that a browser sent, if it is that of a version whose files are kept. Raises PageError."""
    kept = {str(each.version): each.version for each in recipe.versions if each.kept}
    if number not in kept:
        raise PageError("no_version", 404, recipe=recipe.name, version=number[:20])
    return kept[number]

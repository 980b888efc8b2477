"""Page: scores, coverage, latency, rejects and drift over an hour, a shift, a day or a week."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from cmfm_hmi.errors import PageError
from cmfm_hmi.recipes.files import RecipeView, read_recipe, recipe_names
from cmfm_hmi.rendering import NavEntry, when
from cmfm_hmi.security.guard import require
from cmfm_hmi.security.roles import Role
from cmfm_hmi.site import Site
from cmfm_hmi.trends.blocks import BLOCK_SLOTS, RANGES, Range, TrendBlocks, Wanted
from cmfm_hmi.trends.curves import Nominal, curves_of
from cmfm_records.ledger import Question
from cmfm_records.trend import Slots

NAV: Final = (NavEntry("trends", "/trends"),)

DEFAULT_RANGE: Final = "hour"
LABELS: Final = {"hour": "%H:%M:%S", "shift": "%H:%M", "day": "%H:%M", "week": "{day} %H:%M"}
"""How the start of a slot is written, by this machine's clock."""

REFRESH_S: Final = {"hour": 10, "shift": 30, "day": 60, "week": 300}


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the page."""

    async def ask(wanted: Wanted, start_ns: int, slot_ns: int) -> Slots:
        question = Question(recipe=wanted.recipe or None, models=wanted.models)
        return await site.history.ask(
            lambda ledger: ledger.slots(
                question, start_ns=start_ns, slot_ns=slot_ns, slots=BLOCK_SLOTS, model=wanted.model
            )
        )

    blocks = TrendBlocks(ask)

    @require(Role.VIEW)
    async def show(request: Request) -> Response:
        over = _range(request).name
        names = await site.history.read(lambda: recipe_names(site.settings.records.recipes))
        chosen = request.query_params.get("recipe", names[0] if len(names) == 1 else "")
        return site.pages.render(
            request,
            "trends.html.j2",
            names=names,
            chosen=chosen,
            ranges=list(RANGES),
            over=over,
            refresh_s=REFRESH_S[over],
        )

    @require(Role.VIEW)
    async def data(request: Request) -> Response:
        over, now_ns = _range(request), time.time_ns()
        recipe = await _recipe(site, request.query_params.get("recipe", ""))
        found = await blocks.read(await _wanted(site, recipe), over, now_ns)
        nominal = Nominal(recipe.nominal_scores, recipe.nominal_coverage, recipe.drift_limit)
        days = site.pages.translator(request)("trends.days").split()
        curves = await asyncio.to_thread(curves_of, found.blocks, over, now_ns, nominal, _labels(over, days))
        return JSONResponse({**curves, "more": found.more, "until": when(now_ns)})

    return [Route("/trends", show, methods=["GET"]), Route("/trends/data", data, methods=["GET"])]


def _range(request: Request) -> Range:
    over = RANGES.get(request.query_params.get("range", DEFAULT_RANGE))
    if over is None:
        raise PageError("http_404", 404)
    return over


async def _recipe(site: Site, name: str) -> RecipeView:
    """The recipe that is asked for; one without name or figures for all recipes."""
    if not name:
        return RecipeView("")
    return await site.history.read(lambda: read_recipe(site.settings.records.recipes, name))


async def _wanted(site: Site, recipe: RecipeView) -> Wanted:
    """Rows of the recipe, and the model whose scores are compared with its nominal parts: that in use."""
    if not recipe.name:
        return Wanted()
    current = recipe.current
    if current is not None and current.model_sha:
        return Wanted(recipe.name, recipe.models, current.model_sha)
    question = Question(recipe=recipe.name, models=recipe.models)
    model = await site.history.ask(lambda ledger: ledger.newest_model(question))
    return Wanted(recipe.name, recipe.models, model)


def _labels(over: Range, days: Sequence[str]) -> Callable[[int], str]:
    """The text of a slot's start; `days` are the words of Monday to Sunday."""
    form = LABELS[over.name]

    def label(start_ns: int) -> str:
        day = days[time.localtime(start_ns / 1e9).tm_wday]
        return when(start_ns, form).replace("{day}", day)

    return label

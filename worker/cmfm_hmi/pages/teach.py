"""Page: collecting parts from the running line, choosing among them, and teaching."""

import uuid
from functools import partial
from typing import Any, Final, cast, get_args

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from cmfm_hmi.errors import PageError
from cmfm_hmi.kept.pictures import overview_jpeg
from cmfm_hmi.rendering import NavEntry
from cmfm_hmi.security.guard import read_form, require
from cmfm_hmi.security.roles import Role
from cmfm_hmi.security.sessions import visitor_of
from cmfm_hmi.site import Site, request_worker
from cmfm_hmi.teaching.outcome import PICTURE, mark_of, read_outcome, report_folder
from cmfm_hmi.teaching.products import Products
from cmfm_hmi.teaching.progress import progress_of
from cmfm_protocol.wire.record_requests import MAX_EVERY, MAX_WANTED, CollectRequest
from cmfm_records.archived_part import NAME
from cmfm_records.collected import Use, choose, products
from cmfm_settings.names import is_name

NAV: Final = (NavEntry("teach", "/teach", Role.TEACH),)

TEACH: Final = "teach"
TEACH_LIMIT_S: Final = 3600.0
USE: Final = "use taught"
USE_LIMIT_S: Final = 180.0
COLLECT_LIMIT_S: Final = 10.0
"""The worker replies when the folder can be written."""

MAX_COMMENT: Final = 1_000
FOR_AN_HOUR: Final = {"Cache-Control": "private, max-age=3600, immutable"}


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the page."""
    folder, recipes = site.settings.records.collected, site.settings.records.recipes
    seen = Products(folder)

    @require(Role.TEACH)
    async def choose_product(request: Request) -> Response:
        wanted = request.query_params.get("product", "").strip()
        if wanted:
            return RedirectResponse(f"/teach/{_name(wanted)}", 303)
        known = await site.history.read(lambda: products(folder))
        state = site.live.snapshot().state
        loaded = () if state is None else state.recipes
        return site.pages.render(
            request, "teach.html.j2", products=known, recipes=[name for name in loaded if name not in known]
        )

    @require(Role.TEACH)
    async def show(request: Request) -> Response:
        product = _product(request)
        view = await site.history.read(lambda: seen.view(product))
        named = sorted({str(result.recipe) for result in site.live.snapshot().results if result.recipe})
        return site.pages.render(
            request, "teach_product.html.j2", product=product, counts=view.counts(), named=named
        )

    @require(Role.TEACH)
    async def state(request: Request) -> Response:
        product = _product(request)
        view = await site.history.read(lambda: seen.view(product))
        mark = await site.history.read(lambda: mark_of(recipes, product))
        using = site.commands.of_kind(USE)
        if using is not None and _why(mark) not in using.arguments:
            using = None  # it was about a recipe taught before
        return JSONResponse(
            {
                **view.counts(),
                "revision": view.revision,
                "line": _line(site, product),
                "teach": progress_of(site.commands.of_kind(TEACH), product),
                "use": progress_of(using, product),
                "outcome": mark,
            }
        )

    @require(Role.TEACH)
    async def parts(request: Request) -> Response:
        product = _product(request)
        return JSONResponse(await site.history.read(lambda: seen.view(product).strip()))

    @require(Role.TEACH)
    async def picture(request: Request) -> Response:
        product, name = _product(request), request.path_params["part"]
        if NAME.fullmatch(name) is None:
            raise PageError("no_part", 404)
        place = seen.part_folder(product, name)
        content = await site.pictures.get((f"{product}/{name}", "collected"), partial(overview_jpeg, place))
        return Response(content, media_type="image/jpeg", headers=FOR_AN_HOUR)

    @require(Role.TEACH)
    async def collect(request: Request) -> Response:
        product, form = _product(request), await read_form(request)
        wanted, every = _count(form, "count", MAX_WANTED), _count(form, "every", MAX_EVERY)
        frames_of = form.get("frames_of", "").strip()
        if frames_of and not is_name(frames_of):
            raise PageError("bad_name", 400, name=frames_of[:64])
        asked = f"{wanted} parts, one of {every}{f', frames of {frames_of}' if frames_of else ''}"
        await site.audit.write(visitor_of(request).name, "collect", product, "", asked)
        await request_worker(
            site, CollectRequest(uuid.uuid4().hex, product, wanted, every, frames_of), COLLECT_LIMIT_S
        )
        return JSONResponse({})

    @require(Role.TEACH)
    async def stop(request: Request) -> Response:
        product = _product(request)
        await site.audit.write(visitor_of(request).name, "collect", product, "", "stopped")
        await request_worker(site, CollectRequest(uuid.uuid4().hex, product, 0), COLLECT_LIMIT_S)
        return JSONResponse({})

    @require(Role.TEACH)
    async def decide(request: Request) -> Response:
        product, form = _product(request), await read_form(request)
        part, use = form.get("part", ""), _use(form.get("use", ""))
        who, comment = visitor_of(request).name, form.get("comment", "").strip()[:MAX_COMMENT]
        view = await site.history.read(lambda: seen.view(product))
        before = next((each.use for each in view.product.parts if each.name == part), "")
        await site.audit.write(who, "collected_part", f"{product}/{part[:100]}", before, use)
        await site.history.read(lambda: choose(folder, product, part, use, who, comment, why="teach page"))
        return JSONResponse({})

    @require(Role.TEACH)
    async def teach(request: Request) -> Response:
        product = _product(request)
        await site.audit.write(visitor_of(request).name, "teach", product)
        site.commands.start(TEACH, _arguments(site, request, product, "--from-collected"), TEACH_LIMIT_S)
        return JSONResponse({}, 202)

    @require(Role.TEACH)
    async def cancel(request: Request) -> Response:
        product = _product(request)
        await site.audit.write(visitor_of(request).name, "teach", product, "", "cancelled")
        site.commands.cancel(TEACH)
        return JSONResponse({})

    @require(Role.TEACH)
    async def use(request: Request) -> Response:
        product, form = _product(request), await read_form(request)
        mark = await site.history.read(lambda: mark_of(recipes, product))
        if not mark or form.get("outcome", mark) != mark:
            raise PageError("recipe_changed", 409, recipe=product)
        await site.audit.write(visitor_of(request).name, "recipe_use", product, "", _why(mark))
        options = ("--use", "--why", _why(mark), *_keys(site))
        site.commands.start(USE, _arguments(site, request, product, *options), USE_LIMIT_S)
        return JSONResponse({}, 202)

    @require(Role.TEACH)
    async def outcome(request: Request) -> Response:
        product = _product(request)
        found = await site.history.read(lambda: read_outcome(recipes, product))
        return site.pages.render(request, "teach_outcome.html.j2", product=product, outcome=found)

    @require(Role.TEACH)
    async def worst(request: Request) -> Response:
        product, name = _product(request), request.path_params["picture"]
        path = report_folder(recipes, product) / name
        if PICTURE.fullmatch(name) is None or not path.is_file():
            raise PageError("part_without_picture", 404, file=name)
        return FileResponse(path, media_type="image/png", headers={"Cache-Control": "no-cache"})

    def post(path: str, endpoint: Any) -> Route:
        return Route(f"/teach/{{product}}/{path}", endpoint, methods=["POST"])

    def get(path: str, endpoint: Any) -> Route:
        return Route(f"/teach/{{product}}{path}", endpoint, methods=["GET"])

    return [
        Route("/teach", choose_product, methods=["GET"]),
        get("", show),
        get("/state", state),
        get("/parts", parts),
        get("/parts/{part}.jpg", picture),
        get("/outcome", outcome),
        get("/worst/{picture}", worst),
        post("collect", collect),
        post("stop", stop),
        post("choose", decide),
        post("teach", teach),
        post("cancel", cancel),
        post("use", use),
    ]


def _product(request: Request) -> str:
    return _name(request.path_params["product"])


def _use(text: str) -> Use:
    for use in get_args(Use):
        if text == use:
            return cast("Use", use)
    raise PageError("mark_unclear", 400)


def _name(text: str) -> str:
    if not is_name(text):
        raise PageError("bad_name", 404, name=text[:64])
    return text


def _count(form: dict[str, str], field: str, most: int) -> int:
    """A number of a form, from 1 to `most`. Raises PageError."""
    text = form.get(field, "").strip()
    if not text.isdecimal() or len(text) > len(str(most)) or not 1 <= int(text) <= most:
        raise PageError("bad_count", 400, value=text[:20], most=most)
    return int(text)


def _arguments(site: Site, request: Request, product: str, *more: str) -> list[str]:
    config, who = str(site.settings.worker.config), visitor_of(request).name
    return ["teach", "--config", config, "--product", product, "--json", "--by", who, *more]


def _why(mark: str) -> str:
    """Why a recipe is put in use, which also tells which teaching made it."""
    return f"taught on the page ({mark})"


def _keys(site: Site) -> list[str]:
    """The options by which the command connects to a worker that speaks CURVE."""
    worker = site.settings.worker
    if worker.key is None or worker.worker_key is None:
        return []
    return ["--key", str(worker.key), "--server-key", str(worker.worker_key)]


def _line(site: Site, product: str) -> dict[str, Any]:
    """State of collecting: `away`, nothing, this product, or another one."""
    snapshot = site.live.snapshot()
    collecting = snapshot.state.collecting if snapshot.state is not None else None
    if not snapshot.alive:
        return {"state": "away"}
    if collecting is None:
        return {"state": "idle"}
    running = collecting.collected < collecting.wanted
    if collecting.product != product:
        return {"state": "other" if running else "idle", "product": collecting.product}
    figures = {
        name: getattr(collecting, name) for name in ("collected", "wanted", "every", "dropped", "detail")
    }
    return {"state": "collecting" if running else "ended", **figures}

"""Pages around the login: log in and out, the language, taking the line over from a PLC and giving it back."""

import asyncio
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from cmfm_hmi.errors import PageError
from cmfm_hmi.rendering import LANGUAGE_COOKIE, NavEntry, when
from cmfm_hmi.security.cookies import set_session_cookie
from cmfm_hmi.security.guard import read_form, require
from cmfm_hmi.security.logins import Logins
from cmfm_hmi.security.roles import Role
from cmfm_hmi.security.sessions import visitor_of
from cmfm_hmi.site import Site
from cmfm_hmi.texts import LANGUAGES

NAV: Final[tuple[NavEntry, ...]] = ()
YEAR_S: Final = 365 * 86_400


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of login, logout, language and taking over."""
    logins = Logins(site.users)
    secure = site.settings.page.certificate is not None
    log = structlog.get_logger("login")

    def page(request: Request, status: int, goal: str, problem: str = "", name: str = "") -> Response:
        return site.pages.render(
            request,
            "login.html.j2",
            status,
            next=goal,
            problem=problem,
            name=name,
            no_users=not len(site.users),
        )

    @require(Role.NONE)
    async def show(request: Request) -> Response:
        goal = local_path(request.query_params.get("next", "/"))
        return page(request, 200, goal)

    @require(Role.NONE, while_read_only=True)
    async def enter(request: Request) -> Response:
        form = await read_form(request)
        name, goal = form.get("name", "")[:64], local_path(form.get("next", "/"))
        peer = request.client.host if request.client else ""
        user = await logins.check(name, form.get("password", ""), peer)
        if user is None:
            site.events["login_refused"] += 1
            log.warning("login_refused", name=name, peer=peer)
            t = site.pages.translator(request)
            problem = t("errors.login_wrong") if logins.allows(name, peer) else t("errors.login_wait")
            return page(request, 401, goal, problem, name)
        visitor = site.sessions.begin(user)
        site.events["login"] += 1
        log.info("login", name=name, peer=peer, role=user.role)
        response = RedirectResponse(goal, 303)
        name_of_cookie = site.sessions.cookie_name
        set_session_cookie(response, name_of_cookie, site.sessions.cookie(visitor), secure=secure)
        return response

    @require(Role.NONE, while_read_only=True)
    async def leave(request: Request) -> Response:
        visitor = visitor_of(request)
        await asyncio.to_thread(site.end_session, visitor.session_id)
        log.info("logout", name=visitor.name)
        response = RedirectResponse("/", 303)
        response.delete_cookie(site.sessions.cookie_name, path="/")
        return response

    @require(Role.NONE)
    async def language(request: Request) -> Response:
        wanted = request.path_params["language"]
        if wanted not in LANGUAGES:
            raise PageError("http_404", 404)
        response = RedirectResponse(local_path(request.query_params.get("next", "/")), 303)
        response.set_cookie(
            LANGUAGE_COOKIE, wanted, max_age=YEAR_S, samesite="strict", secure=secure, path="/"
        )
        return response

    @require(Role.OPERATE, while_read_only=True)
    async def take_over(request: Request) -> Response:
        who = visitor_of(request).name
        former = site.lock.taken_over()
        await site.audit.write(who, "take_over", "line", former.who if former else "PLC", who)
        await asyncio.to_thread(site.lock.take_over, who)
        return RedirectResponse(local_path((await read_form(request)).get("next", "/")), 303)

    @require(Role.OPERATE, while_read_only=True)
    async def give_back(request: Request) -> Response:
        who, former = visitor_of(request).name, site.lock.taken_over()
        held = f"{former.who}, {when(former.since_ns)}" if former else ""
        await site.audit.write(who, "give_back", "line", held, "PLC")
        await asyncio.to_thread(site.lock.give_back)
        return RedirectResponse(local_path((await read_form(request)).get("next", "/")), 303)

    return [
        Route("/login", show, methods=["GET"]),
        Route("/login", enter, methods=["POST"]),
        Route("/logout", leave, methods=["POST"]),
        Route("/language/{language}", language, methods=["GET"]),
        Route("/take-over", take_over, methods=["POST"]),
        Route("/give-back", give_back, methods=["POST"]),
    ]


def local_path(path: str) -> str:
    """Return the path if it leads to this page's own pages, else "/"."""
    is_local = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_local else "/"

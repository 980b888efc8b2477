"""The web application: pages, static files, errors in words, and what every request goes through."""

import traceback
from importlib.resources import files
from types import ModuleType
from typing import Any, Final

import structlog
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cmfm_hmi.errors import PageError
from cmfm_hmi.pages import audit, live, login, part, recipes, rejects, teach, threshold, trends
from cmfm_hmi.security.cookies import set_session_cookie
from cmfm_hmi.security.guard import wants_page
from cmfm_hmi.security.headers import HEADERS, KnownNames, SecurityHeaders
from cmfm_hmi.site import Site, site_of

PAGES: Final[tuple[ModuleType, ...]] = (
    live,
    rejects,
    part,
    trends,
    threshold,
    teach,
    recipes,
    audit,
    login,
)
"""The modules of pages: `routes(site)`, and `NAV` where the menu shows them, in this order."""

_KNOWN_STATUS: Final = frozenset({400, 404, 405, 413})


def application(site: Site) -> Starlette:
    """Return the application of a site."""
    routes: list[BaseRoute] = [route for page in PAGES for route in page.routes(site)]
    static = GZipMiddleware(_Static(directory=str(files("cmfm_hmi").joinpath("static"))), minimum_size=500)
    routes.append(Mount("/static", static, name="static"))
    paths = {getattr(route, "path", "") for route in routes}
    entries = [entry for page in PAGES for entry in getattr(page, "NAV", ())]
    site.pages.nav = [entry for entry in entries if entry.path in paths]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(SecurityHeaders, https=site.settings.page.certificate is not None),
            Middleware(KnownNames, names=(site.settings.page.host, *site.settings.page.names)),
            Middleware(SessionCookies, site=site),
        ],
        exception_handlers={
            PageError: _page_error,
            HTTPException: _http_error,
            Exception: _bug,
        },
    )
    app.state.site = site
    return app


class SessionCookies:
    """Gives each request its visitor (`request.state.visitor`), and a browser without a session a cookie."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._sessions = site.sessions
        self._secure = site.settings.page.certificate is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its visitor."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visitor = self._sessions.visitor_of_cookies(HTTPConnection(scope).cookies)
        new = visitor is None
        visitor = visitor or self._sessions.stranger()
        scope.setdefault("state", {})["visitor"] = visitor
        is_page = "text/html" in Headers(scope=scope).get("accept", "")
        if not (new and is_page):
            await self._app(scope, receive, send)
            return

        sessions = self._sessions

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and not _sets_cookie(message, sessions.cookie_name):
                response = Response()
                set_session_cookie(
                    response, sessions.cookie_name, sessions.cookie(visitor), secure=self._secure
                )
                message["headers"] = [*message["headers"], response.raw_headers[-1]]
            await send(message)

        await self._app(scope, receive, with_cookie)


def _sets_cookie(message: Message, cookie: str) -> bool:
    """Tell whether a response sets the session's cookie itself, as the login does."""
    start = f"{cookie}=".encode()
    return any(name == b"set-cookie" and value.startswith(start) for name, value in message["headers"])


class _Static(StaticFiles):
    """Static files under addresses with a mark of their content (`rendering.static_path`): kept for ever."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        """Return the file, to be kept by the browser."""
        response = super().file_response(*arguments, **named)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


async def _page_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, PageError):
        raise error
    return _say(request, error.status, error.key, error.values)


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    key = f"http_{status}" if status in _KNOWN_STATUS else "http_other"
    return _say(request, status, key, {"status": status})


async def _bug(request: Request, error: Exception) -> Response:
    site_of(request).events["page_failed"] += 1
    trace = "".join(traceback.format_exception(error))
    structlog.get_logger("web").error("page_failed", path=request.url.path, error=repr(error), trace=trace)
    response = _say(request, 500, "bug", {})
    response.headers.update(HEADERS)  # this handler is outside of the middleware that adds them
    return response


def _say(request: Request, status: int, key: str, values: dict[str, object]) -> Response:
    """Return an error as a page for people, as JSON `{"error": sentence}` for scripts."""
    site = site_of(request)
    sentence = site.pages.translator(request)(f"errors.{key}", **values)
    if not wants_page(request):
        return JSONResponse({"error": sentence}, status)
    return site.pages.render(request, "error.html.j2", status, sentence=sentence, status_code=status)

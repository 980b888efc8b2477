"""Page: the line as it runs. Its numbers and pictures come from the board."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cmfm_hmi.board.board import STRIP
from cmfm_hmi.board.stream import BoardStream
from cmfm_hmi.errors import PageError
from cmfm_hmi.rendering import NavEntry
from cmfm_hmi.security.guard import require
from cmfm_hmi.security.roles import Role
from cmfm_hmi.site import Site
from cmfm_protocol.wire.verdict import Verdict

NAV: Final = (NavEntry("live", "/"),)
PICTURE_AGE_S: Final = 3600


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the page."""

    @require(Role.VIEW)
    async def show(request: Request) -> Response:
        return site.pages.render(request, "live.html.j2", verdicts=list(Verdict), strip=STRIP)

    @require(Role.VIEW)
    async def events(request: Request) -> Response:
        if site.board.watchers >= site.settings.page.browsers:
            raise PageError("too_many_pages")

        def may_look() -> bool:
            visitor = site.sessions.visitor_of_cookies(request.cookies) or site.sessions.stranger()
            return visitor.role >= Role.VIEW

        return BoardStream(site.board, may_look)

    @require(Role.VIEW)
    async def picture(request: Request) -> Response:
        boot_id, result_id = request.query_params.get("boot", ""), request.query_params.get("id", "")
        known = result_id.isascii() and result_id.isdecimal() and len(result_id) < 20
        content = await site.board.pictures.find((boot_id, int(result_id))) if known else None
        if content is None:
            raise PageError("no_picture", 404)
        keep = {"Cache-Control": f"private, max-age={PICTURE_AGE_S}, immutable"}
        return Response(content, media_type="image/jpeg", headers=keep)

    return [
        Route("/", show, methods=["GET"]),
        Route("/live/events", events, methods=["GET"]),
        Route("/live/picture", picture, methods=["GET"]),
    ]

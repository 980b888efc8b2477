"""Page: the line as it runs."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cmfm_hmi.rendering import NavEntry
from cmfm_hmi.security.guard import require
from cmfm_hmi.security.roles import Role
from cmfm_hmi.site import Site

NAV: Final = (NavEntry("live", "/"),)


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the page."""

    @require(Role.VIEW)
    async def show(request: Request) -> Response:
        return site.pages.render(request, "live.html.j2", line=site.live.snapshot())

    return [Route("/", show, methods=["GET"])]

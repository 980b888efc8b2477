"""Page: the trace of changes."""

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cmfm_hmi.rendering import NavEntry
from cmfm_hmi.security.guard import require
from cmfm_hmi.security.roles import Role
from cmfm_hmi.site import Site

NAV: Final = (NavEntry("audit", "/audit", Role.OPERATE),)


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the page."""

    @require(Role.OPERATE)
    async def show(request: Request) -> Response:
        entries = await asyncio.to_thread(site.audit.newest)
        waiting = await asyncio.to_thread(site.audit.waiting)
        return site.pages.render(request, "audit.html.j2", entries=entries, waiting=waiting)

    return [Route("/audit", show, methods=["GET"])]

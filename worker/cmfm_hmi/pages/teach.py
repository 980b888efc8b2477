"""Page: collecting parts from the running line, and teaching."""

from typing import Final

from starlette.routing import BaseRoute

from cmfm_hmi.rendering import NavEntry
from cmfm_hmi.security.roles import Role
from cmfm_hmi.site import Site

NAV: Final = (NavEntry("teach", "/teach", Role.TEACH),)


def routes(site: Site) -> list[BaseRoute]:  # noqa: ARG001
    """Return the routes of the page."""
    return []

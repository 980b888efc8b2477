"""Page: the histogram of scores and the line to drag."""

from typing import Final

from starlette.routing import BaseRoute

from cmfm_hmi.rendering import NavEntry
from cmfm_hmi.site import Site

NAV: Final = (NavEntry("threshold", "/threshold"),)


def routes(site: Site) -> list[BaseRoute]:  # noqa: ARG001
    """Return the routes of the page."""
    return []

"""Page: recipes, their versions, export and import."""

from typing import Final

from starlette.routing import BaseRoute

from cmfm_hmi.rendering import NavEntry
from cmfm_hmi.site import Site

NAV: Final = (NavEntry("recipes", "/recipes"),)


def routes(site: Site) -> list[BaseRoute]:  # noqa: ARG001
    """Return the routes of the page."""
    return []

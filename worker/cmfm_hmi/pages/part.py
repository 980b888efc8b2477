"""Page: the page of one part."""

from typing import Final

from starlette.routing import BaseRoute

from cmfm_hmi.rendering import NavEntry
from cmfm_hmi.site import Site

NAV: Final[tuple[NavEntry, ...]] = ()


def routes(site: Site) -> list[BaseRoute]:  # noqa: ARG001
    """Return the routes of the page."""
    return []

"""Page: the trace of changes, from the ledger and from what is on its way there."""

import asyncio
from itertools import islice
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cmfm_hmi.audit import SHOWN_ROWS
from cmfm_hmi.errors import PageError
from cmfm_hmi.rendering import NavEntry
from cmfm_hmi.security.guard import require
from cmfm_hmi.security.roles import Role
from cmfm_hmi.site import Site
from cmfm_records.audit import Change
from cmfm_records.ledger import LedgerReader

USUAL_S: Final = 5.0
"""A change that reaches the ledger within this is not worth a word."""

NAV: Final = (NavEntry("audit", "/audit", Role.OPERATE),)


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the page."""

    @require(Role.OPERATE)
    async def show(request: Request) -> Response:
        own = await asyncio.to_thread(site.audit.newest)
        waiting = await asyncio.to_thread(site.audit.waiting, USUAL_S)
        problem = ""
        try:
            recorded = await site.history.ask(recorded_changes)
        except PageError as error:
            recorded, problem = [], site.pages.translator(request)(f"errors.{error.key}", **error.values)
        entries = {change.entry_id: change for change in (*own, *recorded)}
        newest = sorted(entries.values(), key=lambda change: change.at_ns, reverse=True)
        return site.pages.render(
            request,
            "audit.html.j2",
            entries=newest[:SHOWN_ROWS],
            waiting=frozenset(waiting),
            problem=problem,
        )

    return [Route("/audit", show, methods=["GET"])]


def recorded_changes(reader: LedgerReader) -> list[Change]:
    """Return the newest changes of the ledger: those of this page, and those of others."""
    return [
        Change(row.entry_id, row.at_ns, row.who, row.what, row.subject, row.before, row.after)
        for row in islice(reader.audit(limit=SHOWN_ROWS), SHOWN_ROWS)
    ]

"""Page: the gallery of archived parts, with filters, and the export of what a filter leaves."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from cmfm_hmi.kept.zip_stream import zip_stream
from cmfm_hmi.rendering import NavEntry
from cmfm_hmi.security.guard import require
from cmfm_hmi.security.roles import Role
from cmfm_hmi.site import Site
from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.archive_index import ArchiveIndex
from cmfm_records.archived_part import NAME
from cmfm_records.archived_row import ArchivedRow, PartFilter

NAV: Final[tuple[NavEntry, ...]] = (NavEntry("rejects", "/rejects"),)

PARTS_A_PAGE: Final = 24
EXPORTED_PARTS: Final = 200
"""Parts of one export, the newest: about 600 MB at 400 × 400 pixels."""

FIRST_LOOK_S: Final = 0.5
"""Time that a visitor waits for new parts to be read; older ones follow while he looks."""

AGES_S: Final[Mapping[str, int]] = {"1h": 3600, "8h": 28_800, "24h": 86_400, "7d": 604_800}
FIELDS: Final = ("recipe", "reason", "camera", "verdict", "part", "age", "from", "to")
MAX_FIELD_CHARS: Final = 256


@dataclass(frozen=True, slots=True)
class Wanted:
    """A visitor's filter: the fields as he gave them, the filter that they mean, and the fields that mean nothing."""

    fields: Mapping[str, str]
    filter: PartFilter
    unclear: tuple[str, ...]

    def query(self, **more: str) -> str:
        """The query string of this filter, with more fields."""
        return urlencode({name: value for name, value in {**self.fields, **more}.items() if value})


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the page."""
    index = site.kept.index

    @require(Role.VIEW)
    async def show(request: Request) -> Response:
        wanted = read_filter(request.query_params, time.time_ns())
        await site.kept.refresh(FIRST_LOOK_S)
        before, after = (_name(request.query_params.get(key, "")) for key in ("before", "after"))
        gallery = await site.history.read(lambda: read_gallery(index, wanted.filter, before, after))
        marks = await site.history.read(lambda: site.marks.of([row.name for row in gallery.rows]))
        return site.pages.render(
            request,
            "rejects.html.j2",
            wanted=wanted,
            gallery=gallery,
            marks=marks,
            kept=site.kept,
            ages=tuple(AGES_S),
            verdicts=tuple(Verdict),
            exported=EXPORTED_PARTS,
        )

    @require(Role.VIEW)
    async def export(request: Request) -> Response:
        wanted = read_filter(request.query_params, time.time_ns())
        rows = await site.history.read(lambda: index.page(wanted.filter, limit=EXPORTED_PARTS))
        return zip_response("parts", [row.name for row in rows], site)

    return [
        Route("/rejects", show, methods=["GET"]),
        Route("/rejects.zip", export, methods=["GET"]),
    ]


@dataclass(frozen=True, slots=True)
class Gallery:
    """One page of the gallery. `newer` and `older` are the names from which the pages beside it start, or empty.

    `total` parts are left by the filter; `choices` are the values to choose from, each with its number of parts.
    """

    rows: list[ArchivedRow]
    newer: str
    older: str
    total: int
    choices: Mapping[str, list[tuple[str, int]]]


def read_gallery(index: ArchiveIndex, wanted: PartFilter, before: str | None, after: str | None) -> Gallery:
    """Read one page from the index. Raises InputError."""
    rows = index.page(wanted, limit=PARTS_A_PAGE, before=before, after=after)
    if after is not None and len(rows) < PARTS_A_PAGE:  # the first page is always full
        rows = index.page(wanted, limit=PARTS_A_PAGE)
    newer = bool(rows) and bool(index.page(wanted, limit=1, after=rows[0].name))
    older = bool(rows) and bool(index.page(wanted, limit=1, before=rows[-1].name))
    return Gallery(
        rows,
        newer=rows[0].name if newer else "",
        older=rows[-1].name if older else "",
        total=index.count(wanted),
        choices={key: index.choices(key) for key in ("recipe", "reason", "camera")},
    )


def read_filter(query: Mapping[str, str], now_ns: int) -> Wanted:
    """Return the filter of a query; a field that means nothing does not filter, and is named in `unclear`."""
    fields = {name: query.get(name, "").strip()[:MAX_FIELD_CHARS] for name in FIELDS}
    unclear = [name for name in ("from", "to") if fields[name] and _time_ns(fields[name]) is None]
    if fields["age"] and fields["age"] not in AGES_S:
        unclear.append("age")
    since_ns = _time_ns(fields["from"])
    if since_ns is None and fields["age"] in AGES_S:
        since_ns = now_ns - AGES_S[fields["age"]] * 10**9
    chosen = PartFilter(
        since_ns=since_ns,
        until_ns=_time_ns(fields["to"]),
        verdict=fields["verdict"] or None,
        recipe=fields["recipe"] or None,
        reason=fields["reason"] or None,
        camera=fields["camera"] or None,
        part=fields["part"] or None,
    )
    return Wanted(fields, chosen, tuple(unclear))


def zip_response(name: str, parts: list[str], site: Site) -> Response:
    """Stream the folders of some parts as `<name>.zip`."""
    folders = (site.kept.index.folder / part for part in parts)
    headers = {"Content-Disposition": f'attachment; filename="{name}.zip"'}
    return StreamingResponse(zip_stream(folders), media_type="application/zip", headers=headers)


def _time_ns(text: str) -> int | None:
    """The time of an <input type="datetime-local"> in this machine's time zone; None if it is no time."""
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000) * 10**6 if text else None
    except (ValueError, OverflowError, OSError):
        return None


def _name(text: str) -> str | None:
    return text if NAME.fullmatch(text) else None

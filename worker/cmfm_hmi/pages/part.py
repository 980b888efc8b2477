"""Page: one archived part: its pictures, its history, its replay, and what people say about its verdict."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from cmfm_hmi.board.region_shares import shares_of
from cmfm_hmi.commands import RunningCommand
from cmfm_hmi.errors import InputError, PageError
from cmfm_hmi.kept.marks import Mark
from cmfm_hmi.kept.place_history import Place, places_of
from cmfm_hmi.pages import part_files
from cmfm_hmi.rendering import NavEntry
from cmfm_hmi.security.guard import read_form, require, wants_page
from cmfm_hmi.security.roles import Role
from cmfm_hmi.security.sessions import visitor_of
from cmfm_hmi.site import Site
from cmfm_protocol.files.dataset_error import DatasetError
from cmfm_protocol.files.picture_files import png_size
from cmfm_protocol.pictures.map_in_frame import MapInFrame
from cmfm_protocol.wire.result import Result
from cmfm_records.archived_part import MAPS, RGB_FILE, XYZ_FILE, read_result
from cmfm_records.archived_row import ArchivedRow, PartFilter
from cmfm_records.ledger import LedgerReader, Question, Record

NAV: Final[tuple[NavEntry, ...]] = ()

REPLAY: Final = "replay-part"
REPLAY_LIMIT_S: Final = 300.0
NOT_EQUAL: Final = 1
"""Exit code of `cmfm-worker replay-part` if something differs."""

MAX_COMMENT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Shown:
    """A part as its page shows it.

    `result` is None if result.json cannot be used. `problems` are sentences about files that are missing or damaged.
    `size` is the frame's (rows, columns), None without a picture. `boxes` are the regions in frame pixels (x, y, width,
    height), `shares` their highest Ψ as a share of the threshold, and `places` those that have a history. `newer` and
    `older` are the names of the parts beside it.
    """

    row: ArchivedRow
    result: Result | None
    problems: tuple[str, ...]
    size: tuple[int, int] | None
    maps: frozenset[str]
    has_points: bool
    boxes: tuple[tuple[float, float, float, float], ...]
    shares: tuple[float | None, ...]
    places: tuple[Place, ...]
    newer: str
    older: str
    marks: tuple[Mark, ...]
    products: tuple[str, ...]


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of the page, and of its pictures and files."""

    @require(Role.VIEW)
    async def show(request: Request) -> Response:
        folder = site.kept.folder(request.path_params["name"])
        part = await site.history.read(lambda: read_part(site, folder))
        return site.pages.render(request, "part.html.j2", part=part, replay=replay_of(site, part.row))

    @require(Role.VIEW)
    async def of_result(request: Request) -> Response:
        """Lead to the part of a result, or to its row in the ledger if the part is not archived."""
        boot_id, result_id = request.path_params["boot_id"], request.path_params["result_id"]
        await site.kept.refresh(part_files.FIRST_LOOK_S)
        row = await site.history.read(lambda: site.kept.index.find(boot_id, _small(result_id)))
        path = f"/parts/{row.name}" if row is not None else f"/ledger/{quote(boot_id, safe='')}/{result_id}"
        return RedirectResponse(path, 303)

    @require(Role.VIEW)
    async def ledger_row(request: Request) -> Response:
        boot_id, result_id = request.path_params["boot_id"], _small(request.path_params["result_id"])

        def find(reader: LedgerReader) -> Record | None:
            return next(iter(list(reader.rows(Question(boot=boot_id, result_id=result_id)))), None)

        row = await site.history.ask(find)
        if row is None:
            raise PageError("no_row", 404, boot=boot_id[:64], number=result_id)
        await site.kept.refresh(part_files.FIRST_LOOK_S)
        kept = await site.history.read(lambda: site.kept.index.find(boot_id, result_id))
        return site.pages.render(request, "ledger_row.html.j2", row=row, kept=kept)

    @require(Role.OPERATE)
    async def mark(request: Request) -> Response:
        folder = site.kept.folder(request.path_params["name"])
        form = await read_form(request)
        use, product = form.get("use", ""), form.get("product", "").strip()
        if use not in ("good", "bad"):
            raise PageError("mark_unclear", 400)
        comment = form.get("comment", "").strip()[:MAX_COMMENT]
        row = await asyncio.to_thread(ArchivedRow.read, folder)
        before = f"{row.verdict} ({row.reason})" if row is not None else ""
        who = visitor_of(request).name
        await site.audit.write(who, f"mark_{use}", f"{product}/{folder.name}", before, f"{use}: {comment}")
        try:
            await asyncio.to_thread(site.marks.add, product, folder, use, who, comment)  # type: ignore[arg-type]
        except (InputError, DatasetError) as error:
            await site.audit.write(who, "mark_failed", f"{product}/{folder.name}", use, str(error))
            raise PageError("mark_failed", 409, error=error) from error
        return RedirectResponse(f"/parts/{folder.name}#marks", 303)

    @require(Role.OPERATE, while_read_only=True)
    async def replay(request: Request) -> Response:
        folder = site.kept.folder(request.path_params["name"])
        result = await site.history.read(lambda: read_result(folder))
        config = str(site.settings.worker.config)
        part = f"{result.boot_id}/{result.result_id}"
        site.commands.start(REPLAY, [REPLAY, "--config", config, "--json", "--", part], REPLAY_LIMIT_S)
        if wants_page(request):
            return RedirectResponse(f"/parts/{folder.name}#replay", 303)
        return JSONResponse({"running": True}, 202)

    @require(Role.VIEW)
    async def replay_state(request: Request) -> Response:
        row = await site.history.read(lambda: ArchivedRow.read(site.kept.folder(request.path_params["name"])))
        state = None if row is None else replay_of(site, row)
        return JSONResponse({"running": state is not None and state["state"] == "running"})

    return [
        Route("/parts/of/{boot_id}/{result_id:int}", of_result, methods=["GET"]),
        Route("/ledger/{boot_id}/{result_id:int}", ledger_row, methods=["GET"]),
        Route("/parts/{name}", show, methods=["GET"]),
        Route("/parts/{name}/mark", mark, methods=["POST"]),
        Route("/parts/{name}/replay", replay, methods=["POST"]),
        Route("/parts/{name}/replay", replay_state, methods=["GET"]),
        *part_files.routes(site),
    ]


def read_part(site: Site, folder: Path) -> Shown:
    """Read what the page shows of a part; blocks. Raises PageError if it is gone, InputError for the decisions."""
    row = ArchivedRow.read(folder)
    if row is None:
        raise PageError("part_gone", 404)
    result = None if row.problem else read_result(folder)
    size, problems = None, [row.problem] if row.problem else []
    try:
        size = png_size(folder / RGB_FILE)
    except DatasetError as error:
        problems.append(str(error))
    has_points = (folder / XYZ_FILE).is_file()
    if not has_points:
        problems.append(f"{folder / XYZ_FILE} is missing")
    index, every = site.kept.index, PartFilter()
    regions = result.regions if result is not None else ()
    return Shown(
        row=row,
        result=result,
        problems=tuple(problems),
        size=size,
        maps=frozenset(key for key in MAPS if (folder / f"{key}.npy").is_file()),
        has_points=has_points,
        boxes=tuple(_box(size, region.bbox) for region in regions) if size is not None else (),
        shares=shares_of(result) if result is not None else (),
        places=tuple(places_of(result)) if result is not None else (),
        newer=next((other.name for other in index.page(every, limit=1, after=row.name)), ""),
        older=next((other.name for other in index.page(every, limit=1, before=row.name)), ""),
        marks=tuple(site.marks.of([row.name]).get(row.name, ())),
        products=tuple(sorted({*site.marks.products(), *([row.recipe] if row.recipe else [])})),
    )


def replay_of(site: Site, row: ArchivedRow) -> dict[str, Any] | None:
    """Return the newest replay if it is one of this part: `state`, and the comparison or the error."""
    command = site.commands.of_kind(REPLAY)
    if command is None or command.arguments[-1] != f"{row.boot_id}/{row.result_id}":
        return None
    if not command.done.is_set():
        return {"state": "running"}
    compared = _comparison(command)
    if compared is None:
        why = f"{REPLAY_LIMIT_S:g} s" if command.timed_out else command.failure or str(command.code)
        return {"state": "failed", "error": why}
    return {"state": "equal" if compared["equal"] else "differs", **compared}


def _comparison(command: RunningCommand) -> dict[str, Any] | None:
    """The comparison that the command printed; None if it printed none."""
    if command.code not in (0, NOT_EQUAL):
        return None
    try:
        compared = json.loads(command.text)
        keys = ("equal", "recorded", "replayed", "maps_equal", "remarks", "in_ledger")
        return {key: compared[key] for key in keys} if isinstance(compared, Mapping) else None
    except (ValueError, KeyError):
        return None


def _box(size: tuple[int, int], bbox: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (round(edge, 1) for edge in MapInFrame(*size).box(bbox))
    return left, top, right - left, bottom - top


def _small(number: int) -> int:
    """A number of an address, small enough for SQLite."""
    return min(number, 2**63 - 1)

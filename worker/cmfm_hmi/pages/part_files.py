"""Pictures and files of one archived part, for its page and for the gallery."""

from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from cmfm_hmi.errors import PageError
from cmfm_hmi.kept.pictures import KINDS
from cmfm_hmi.kept.place_history import places_of, values_at
from cmfm_hmi.pages.rejects import zip_response
from cmfm_hmi.security.guard import require
from cmfm_hmi.security.roles import Role
from cmfm_hmi.site import Site
from cmfm_records.archived_part import RGB_FILE, read_archived_part, read_result
from cmfm_records.archived_row import PartFilter

FIRST_LOOK_S: Final = 0.5
FOR_A_DAY: Final = {"Cache-Control": "private, max-age=86400, immutable"}
"""An archived part never changes; after a day the browser may forget it."""

PLACE_PARTS: Final = 60
"""Parts in the history of a place."""


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes of a part's files."""

    @require(Role.VIEW)
    async def picture(request: Request) -> Response:
        path = site.kept.folder(request.path_params["name"]) / RGB_FILE
        if not path.is_file():
            raise PageError("part_without_picture", 404, file=path)
        content = await site.history.read(path.read_bytes)  # the line may delete it at any moment
        return Response(content, media_type="image/png", headers=FOR_A_DAY)

    @require(Role.VIEW)
    async def made(request: Request) -> Response:
        kind = KINDS.get(request.path_params["kind"])
        if kind is None:
            raise PageError("http_404", 404)
        folder = site.kept.folder(request.path_params["name"])
        content = await site.pictures.get(
            (folder.name, request.path_params["kind"]), partial(kind.make, folder)
        )
        return Response(content, media_type=kind.media_type, headers=FOR_A_DAY)

    @require(Role.VIEW)
    async def frame(request: Request) -> Response:
        """Tell whether the frame on disk is the one that was inspected, by its SHA-256."""
        folder = site.kept.folder(request.path_params["name"])
        await site.history.read(lambda: read_archived_part(folder))
        return JSONResponse({"whole": True})

    @require(Role.VIEW)
    async def place(request: Request) -> Response:
        folder = site.kept.folder(request.path_params["name"])
        places = places_of(await site.history.read(lambda: read_result(folder)))
        number = request.path_params["number"]
        if number >= len(places):
            raise PageError("http_404", 404)
        index, box = site.kept.index, places[number].box
        row = await site.history.read(lambda: index.row(folder.name))
        wanted = PartFilter(
            recipe=row.recipe if row else None, camera=row.camera if row else None, has_maps=True
        )

        def read() -> object:
            newest = index.page(wanted, limit=PLACE_PARTS)
            if row is not None and row not in newest:
                newest.append(row)
            return values_at(index.folder, reversed(newest), box)

        values = await site.history.read(read)
        return site.pages.render(
            request, "part_place.html.j2", values=values, name=folder.name, number=number
        )

    @require(Role.VIEW)
    async def export(request: Request) -> Response:
        folder = site.kept.folder(request.path_params["name"])
        return zip_response(folder.name, [folder.name], site)

    return [
        Route("/parts/{name}/picture.png", picture, methods=["GET"]),
        Route("/parts/{name}/frame.json", frame, methods=["GET"]),
        Route("/parts/{name}/part.zip", export, methods=["GET"]),
        Route("/parts/{name}/place/{number:int}", place, methods=["GET"]),
        Route("/parts/{name}/{kind}", made, methods=["GET"]),
    ]

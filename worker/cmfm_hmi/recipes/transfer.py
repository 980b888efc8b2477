"""A recipe as one file: made for a download, and taken from an upload that never lies in memory."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse

from cmfm_hmi.errors import PageError
from cmfm_hmi.recipes.changes import command
from cmfm_hmi.site import Site

FOLDER: Final = ".transfer-"
"""Prefix of the folders of files under way, beside the page's store. Those that a killed page left are removed."""

SUFFIX: Final = ".zip"

MAX_DOWNLOADS: Final = 4


class Transfer:
    """Exports and imports through `cmfm-worker recipe export` and `import`, one import at a time."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._parent = site.settings.page.store.parent
        self._uploading = asyncio.Lock()
        self._downloads = 0
        for left in self._parent.glob(f"{FOLDER}*"):
            shutil.rmtree(left, ignore_errors=True)

    async def download(self, name: str) -> FileResponse:
        """Return a recipe as a file, which is removed when it has been sent. Raises PageError."""
        if self._downloads >= MAX_DOWNLOADS:
            raise PageError("busy")
        folder = await self._folder()
        self._downloads += 1
        try:
            path = folder / f"{name}{SUFFIX}"
            await command(self._site, ["export"], [name, str(path)], "recipe export")
        except BaseException:
            await self._remove(folder)
            raise
        return FileResponse(
            path,
            media_type="application/zip",
            filename=path.name,
            background=BackgroundTask(self._remove, folder),
        )

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[Path]:
        """Write the body of a request, bounded by its guard, to a file; it is removed at the end of the context.

        Raises PageError (an upload is under way, the browser went away, the disk is full), and HTTPException 413.
        """
        if self._uploading.locked():
            raise PageError("command_busy", 409, command="recipe import")
        async with self._uploading:
            folder = await self._folder()
            try:
                path = folder / f"upload{SUFFIX}"
                await _write(path, request)
                yield path
            finally:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _folder(self) -> Path:
        try:
            return Path(await asyncio.to_thread(tempfile.mkdtemp, prefix=FOLDER, dir=self._parent))
        except OSError as error:
            raise PageError("upload_disk", 507, error=error.strerror or error) from error

    async def _remove(self, folder: Path) -> None:
        self._downloads -= 1
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _write(path: Path, request: Request) -> None:
    try:
        with path.open("wb") as file:
            async for chunk in request.stream():
                await asyncio.to_thread(file.write, chunk)
    except ClientDisconnect as error:
        raise PageError("upload_broken", 400) from error
    except OSError as error:
        raise PageError("upload_disk", 507, error=error.strerror or error) from error

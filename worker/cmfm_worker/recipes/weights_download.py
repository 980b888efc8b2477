"""Fetching a published weights file: whole and checked, or not at all."""

import os
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from cmfm_worker.cfm.weights import sha256_file
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.published_weights import PublishedFile

TIMEOUT_S: Final = 30.0
"""Without a byte for so long, a download has failed."""

CHUNK_BYTES: Final = 1 << 20

Progress = Callable[[int, int], None]
"""Called with the bytes that have come and those there are."""


def download(published: PublishedFile, folder: Path, progress: Progress) -> tuple[Path, str]:
    """Fetch a file into `folder`; its path and sha256. It appears whole and checked or not at all.

    Where no size is on record, the server's word for it is taken. Raises InputError saying what to do where the
    network does not allow it, or what came is not the published file.
    """
    target = folder / published.name
    partial = folder / f"{published.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        expected_bytes = _receive(published, partial, progress)
        digest = _checked(published, partial, expected_bytes)
        partial.replace(target)
    except (HTTPError, URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(error, HTTPError):
            error.close()  # it holds the server's answer, a socket
        size = "" if published.size_bytes is None else f" ({published.size_bytes:,} bytes)"
        raise InputError(
            f"{published.url}: cannot be fetched ({reason}); fetch it elsewhere{size} "
            f"and put it into {folder} as {published.name}"
        ) from error
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)
    return target, digest


def _receive(published: PublishedFile, partial: Path, progress: Progress) -> int | None:
    """Write what comes; the bytes that were to come, None where neither record nor server say."""
    request = Request(published.url, headers={"User-Agent": "cmfm-worker"})  # noqa: S310 (https, from a table of ours)
    response: HTTPResponse
    with urlopen(request, timeout=TIMEOUT_S) as response, partial.open("wb") as file:  # noqa: S310 (the same)
        said = response.headers.get("Content-Length", "")
        total = published.size_bytes or (int(said) if said.isdecimal() else None)
        received = 0
        while chunk := response.read(CHUNK_BYTES):
            received += file.write(chunk)
            if total is not None and received > total:
                return total  # not the published file, however long it goes on; the check says so
            progress(received, received if total is None else total)
        os.fsync(file.fileno())
    return total


def _checked(published: PublishedFile, path: Path, expected_bytes: int | None) -> str:
    size = path.stat().st_size
    if expected_bytes is not None and size != expected_bytes:
        got = f"over {expected_bytes:,}" if size > expected_bytes else f"{size:,}"
        raise InputError(f"{published.url}: {got} bytes came, the published file has {expected_bytes:,}")
    digest = sha256_file(path)
    if published.sha256 and digest != published.sha256:
        raise InputError(
            f"{published.url}: sha256 {digest} is not that of the published file, {published.sha256}"
        )
    return digest

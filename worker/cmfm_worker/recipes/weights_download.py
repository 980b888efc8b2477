"""Downloads a published weights file. The file appears complete and checked, or not at all."""

import os
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.cfm.weights import sha256_file
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.published_weights import PublishedFile

TIMEOUT_S: Final = 30.0
"""A download has failed if no byte arrives for so long."""

CHUNK_BYTES: Final = 1 << 20


def download(published: PublishedFile, folder: Path, progress: ReportProgress) -> tuple[Path, str]:
    """Download a file into `folder`. Return its path and sha256.

    Reports the stage "fetch" in bytes to `progress`. If no size is on record, the server's Content-Length is used.
    Raises InputError saying what to do if the network fails or the received file is not the published one; no file is
    left then.
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
            error.close()  # it holds the server's response, a socket
        size = "" if published.size_bytes is None else f" ({published.size_bytes:,} bytes)"
        raise InputError(
            f"{published.url}: cannot be downloaded ({reason}); download it elsewhere{size} "
            f"and put it into {folder} as {published.name}"
        ) from error
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)
    return target, digest


def _receive(published: PublishedFile, partial: Path, progress: ReportProgress) -> int | None:
    """Write the response to `partial`. Return the expected size in bytes, None if neither record nor server has it."""
    request = Request(published.url, headers={"User-Agent": "cmfm-worker"})  # noqa: S310 (https, from a table of ours)
    response: HTTPResponse
    with urlopen(request, timeout=TIMEOUT_S) as response, partial.open("wb") as file:  # noqa: S310 (the same)
        length = response.headers.get("Content-Length", "")
        total = published.size_bytes or (int(length) if length.isdecimal() else None)
        received = 0
        while chunk := response.read(CHUNK_BYTES):
            received += file.write(chunk)
            if total is not None and received > total:
                return total  # larger than the published file: stop reading, the check refuses it
            progress("fetch", received, received if total is None else total)
        os.fsync(file.fileno())
    return total


def _checked(published: PublishedFile, path: Path, expected_bytes: int | None) -> str:
    size = path.stat().st_size
    if expected_bytes is not None and size != expected_bytes:
        got = f"over {expected_bytes:,}" if size > expected_bytes else f"{size:,}"
        raise InputError(f"{published.url}: received {got} bytes, the published file has {expected_bytes:,}")
    digest = sha256_file(path)
    if published.sha256 and digest != published.sha256:
        raise InputError(f"{published.url}: sha256 {digest} is not the published file's, {published.sha256}")
    return digest

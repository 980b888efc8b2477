"""Guards endpoints: the visitor's role, the CSRF token, the size of the body, and the read-only line."""

import functools
import hmac
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Message, Receive

from cmfm_hmi.errors import PageError
from cmfm_hmi.security.roles import Role
from cmfm_hmi.security.sessions import FIELD, HEADER, Visitor, visitor_of

Endpoint = Callable[[Request], Awaitable[Response]]

SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
FORM_BYTES: Final = 64 * 1024
"""Largest body of a form without a file."""

MAX_FIELDS: Final = 200
MAX_FILES: Final = 1
GUARDED: Final = "guarded_by"
"""Attribute of a guarded endpoint: a test looks that each route has it."""


def require(
    role: Role, *, body_bytes: int = FORM_BYTES, while_read_only: bool = False
) -> Callable[[Endpoint], Endpoint]:
    """Let an endpoint be called by visitors of this role or more alone.

    Others get the login page (a page), 401 (anything else), or 403. A request that changes something needs its CSRF
    token (form field `csrf` or header `X-CSRF-Token`), a body of at most `body_bytes`, and a line that the page may
    change (423), unless `while_read_only`.
    """

    def decorate(endpoint: Endpoint) -> Endpoint:
        @functools.wraps(endpoint)
        async def guarded(request: Request) -> Response:
            visitor = visitor_of(request)
            if visitor.role < role:
                return _refused(request, visitor, role)
            if request.method not in SAFE_METHODS:
                request = limited(request, body_bytes)
                await _require_token(request, visitor)
                if not while_read_only:
                    request.app.state.site.lock.require_free()
            return await endpoint(request)

        setattr(guarded, GUARDED, role)
        return guarded

    return decorate


def limited(request: Request, body_bytes: int) -> Request:
    """Return the request with a body of at most so many bytes; more raises HTTPException 413 while it is read."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > body_bytes:
        raise HTTPException(413)
    left = body_bytes
    receive: Receive = request.receive

    async def counted() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413)
        return message

    return Request(request.scope, counted)


async def read_form(request: Request) -> dict[str, str]:
    """Return the text fields of a form."""
    form = await request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=FORM_BYTES)
    return {name: value for name, value in form.items() if isinstance(value, str)}


async def read_upload(request: Request, name: str) -> UploadFile | None:
    """Return the file of a form's field, or None."""
    form = await request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=FORM_BYTES)
    value = form.get(name)
    return value if isinstance(value, UploadFile) else None


async def _require_token(request: Request, visitor: Visitor) -> None:
    token = request.headers.get(HEADER) or (await read_form(request)).get(FIELD, "")
    if not hmac.compare_digest(token.encode(), visitor.csrf.encode()):
        raise PageError("csrf", 403)


def wants_page(request: Request) -> bool:
    """Tell whether the answer is for a person's eyes: a page, not a picture or data."""
    return "text/html" in request.headers.get("accept", "")


def _refused(request: Request, visitor: Visitor, role: Role) -> Response:
    if visitor.name:
        raise PageError("forbidden", 403, role=role.label)
    if request.method == "GET" and wants_page(request):
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(path, safe='')}", status_code=303)
    raise PageError("login_needed", 401)

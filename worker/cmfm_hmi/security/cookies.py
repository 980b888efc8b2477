"""The session's cookie."""

from starlette.responses import Response


def set_session_cookie(response: Response, name: str, value: str, *, secure: bool) -> None:
    """Set the cookie: no script reads it, no other site sends it, and TLS alone carries it where there is TLS."""
    response.set_cookie(name, value, httponly=True, samesite="strict", secure=secure, path="/")

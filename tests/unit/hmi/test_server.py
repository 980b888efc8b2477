"""The HTTP server: connections that wait for ever, TLS, a port that is taken, uploads that are far too large."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from tests.unit.made.certificates import Authority
from tests.unit.made.page import page_settings

from cmfm_hmi import server as server_module
from cmfm_hmi.errors import StartupError
from cmfm_hmi.run import open_site
from cmfm_hmi.server import Server, listening, uvicorn_config
from cmfm_hmi.settings.page import PageSection
from cmfm_hmi.web import application
from cmfm_sim.ports import free_ports

LIMIT_S = 30.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def serving(section: PageSection, app: Starlette) -> AsyncIterator[int]:
    """Serve an application; gives its port."""
    with listening(section) as listener:
        server = Server(uvicorn_config(section, app), lambda: None)
        running = asyncio.create_task(server.serve([listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.stop()
            await running


async def slow_answer(_request: Request) -> Response:
    await asyncio.sleep(1.0)
    return PlainTextResponse("at last")


async def exchange(port: int, data: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """Send bytes and return all that comes until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        writer.write(data)
        async with asyncio.timeout(LIMIT_S):
            return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


def test_connections_that_send_nothing_whole_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request, half a head, and silence after an answer each end; an answer that takes longer does not."""
    monkeypatch.setattr(server_module, "REQUEST_LIMIT_S", 0.3)
    app = Starlette(routes=[Route("/slow", slow_answer)])

    async def scenario() -> None:
        async with serving(PageSection(port=free_ports(1)[0]), app) as port:
            assert await exchange(port, b"") == b""
            assert await exchange(port, b"GET /slow HTTP/1.1\r\nHost: lo") == b""
            answered = await exchange(port, b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert answered.endswith(b"at last")
            again = b"GET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n"
            assert (await exchange(port, again + again + again[:20])).count(b"404 Not Found") == 2
            assert b"400 Bad Request" in await exchange(port, b"\x16\x03\x01 not HTTP at all\r\n\r\n")

    asyncio.run(scenario())


def test_an_upload_of_two_gigabytes_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its announced length is enough: the answer comes before the body, and the connection ends."""
    monkeypatch.setattr(server_module, "REQUEST_LIMIT_S", 0.3)

    async def scenario() -> None:
        settings = page_settings(tmp_path, page={"port": free_ports(1)[0]})
        async with open_site(settings) as site, serving(settings.page, application(site)) as port:
            head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2147483648\r\n"
            head += b"Content-Type: multipart/form-data; boundary=x\r\nAccept: application/json\r\n\r\n"
            answer = await exchange(port, head + b"--x\r\n" * 1000)
            assert b" 413 " in answer.partition(b"\r\n")[0]
            assert b"too large" in answer
            site.board.close()

    asyncio.run(scenario())


def test_a_port_that_is_taken_is_a_sentence(tmp_path: Path) -> None:
    """The address is named."""
    section = PageSection(port=free_ports(1)[0])
    with (
        listening(section),
        pytest.raises(StartupError, match=f"127.0.0.1:{section.port}"),
        listening(section),
    ):
        pass


def test_with_a_certificate_the_page_speaks_https_alone(tmp_path: Path) -> None:
    """The cookie is for TLS alone, browsers are told to stay with it, and plain HTTP gets no answer."""
    authority = Authority("factory")
    for name, content in zip(("page.pem", "page.key"), authority.issue("page"), strict=True):
        (tmp_path / name).write_bytes(content)
    page = {"port": free_ports(1)[0], "certificate": "page.pem", "private_key": "page.key", "host": "0.0.0.0"}  # noqa: S104
    trusting = ssl.create_default_context(cadata=authority.pem.decode())

    async def scenario() -> None:
        settings = page_settings(tmp_path, page=page)
        async with open_site(settings) as site, serving(settings.page, application(site)) as port:
            request = (
                b"GET /login HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
            )
            answer = (await exchange(port, request, trusting)).decode().lower()
            assert "200 ok" in answer.partition("\r\n")[0]
            assert "strict-transport-security: max-age=" in answer
            (cookie,) = [line for line in answer.split("\r\n") if line.startswith("set-cookie: ")]
            assert "; secure" in cookie
            assert b"200" not in await exchange(port, request)

    asyncio.run(scenario())

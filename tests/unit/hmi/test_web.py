"""The web application: who gets in, what every response carries, what an error looks like."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Mount, Route
from tests.unit.made.page import PageClient, page_client, page_settings

from cmfm_hmi.security.guard import GUARDED
from cmfm_hmi.web import application


def test_every_route_is_guarded(tmp_path: Path) -> None:
    """No page is forgotten: each endpoint says which role it needs."""
    with page_client(tmp_path) as client:
        routes = [route for route in application(client.site).routes if not isinstance(route, Mount)]
        assert len(routes) > 5
        for route in routes:
            assert isinstance(route, Route)
            assert hasattr(route.endpoint, GUARDED), route.path


ADDRESS = re.compile(r"""["'`](/[a-z][^"'` ?]*)""")
"""An address in a page or script, up to its query."""

EXPRESSION = re.compile(r"\{\{.*?\}\}|\$\{(?:[^{}]|\{[^{}]*\})*\}")


def written_addresses() -> set[str]:
    """The addresses that our templates and scripts lead to, with 1 for each expression."""
    package = files("cmfm_hmi")
    found = set[str]()
    for folder, ending in (("static", ".js"), ("templates", ".j2")):
        for file in package.joinpath(folder).iterdir():
            if file.name.endswith(ending):
                text = file.read_text(encoding="utf-8")
                found |= set(ADDRESS.findall(EXPRESSION.sub("1", text)))
    return found


def test_no_link_leads_nowhere(tmp_path: Path) -> None:
    """Each address in a template or script is one of a route, for some method."""
    with page_client(tmp_path) as client:
        routes = application(client.site).routes
        written = written_addresses()
        assert {"/parts/of/1/1", "/recipes/1/restore", "/rejects.zip", "/login"} <= written
        for address in written - {"/parts/", "/teach/1"}:  # beginnings of longer ones
            scopes = [{"type": "http", "method": method, "path": address} for method in ("GET", "POST")]
            assert any(route.matches(scope)[0] is Match.FULL for route in routes for scope in scopes), address


def test_a_stranger_is_asked_to_log_in(tmp_path: Path) -> None:
    """A page leads to the login; a script gets 401 and a sentence."""
    with page_client(tmp_path) as client:
        answer = client.get("/", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2F")
        refused = client.http.get("/", headers={"Accept": "application/json"})
        assert (refused.status_code, refused.json()["error"]) == (401, "Log in first.")


def test_anonymous_may_view_and_change_nothing(tmp_path: Path) -> None:
    """With anonymous_may_view the live page is open, and taking over is not."""
    with page_client(tmp_path, page_settings(tmp_path, access={"anonymous_may_view": True})) as client:
        assert client.get("/").status_code == 200
        assert client.post("/take-over").status_code == 401


def test_a_page_speaks_the_browsers_language(tmp_path: Path) -> None:
    """German for a German browser, English after the switch."""
    with page_client(tmp_path) as client:
        german = {"Accept": "text/html", "Accept-Language": "de"}
        assert "Passwort" in client.get("/login", headers=german).text
        client.get("/language/en?next=/login")
        assert "Password" in client.get("/login", headers=german).text


@pytest.mark.parametrize("path", ["/nope", "/static/../web.py", "/static/nope.js", "/language/fr"])
def test_unknown_addresses_are_a_sentence(tmp_path: Path, path: str) -> None:
    """404 with our headers and a sentence, in HTML for people."""
    with page_client(tmp_path) as client:
        answer = client.get(path)
        assert answer.status_code == 404
        assert "There is no such page." in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]


ALWAYS = {"/login", "/logout", "/take-over", "/give-back", "/parts/1/replay"}
"""Requests that are answered also on a line that a PLC owns: they change nothing of it. `replay` only computes."""


def test_a_fault_of_ours_is_a_sentence_a_log_line_and_a_count(tmp_path: Path) -> None:
    """500 with our headers, in words; nothing of the error's inside reaches the browser."""

    async def fail(_request: Request) -> Response:
        raise ValueError("secret inside")

    settings = page_settings(tmp_path, access={"anonymous_may_view": True})
    with page_client(tmp_path, settings) as client:
        app = client.http.app
        assert isinstance(app, Starlette)
        app.router.routes.append(Route("/fail", fail))
        answer = client.get("/fail")
        assert answer.status_code == 500
        assert "a fault of its own" in answer.text
        assert "secret inside" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert client.site.events["page_failed"] == 1


def addresses(client: PageClient, method: str) -> list[str]:
    """Every address of the application for a method, parameters filled in."""
    return [
        re.sub(r"\{\w+(:\w+)?\}", "1", route.path)
        for route in application(client.site).routes
        if isinstance(route, Route) and method in (route.methods or ())
    ]


def test_a_line_of_the_plc_refuses_every_change(tmp_path: Path) -> None:
    """423 and a sentence from each address that changes something, for the administrator, too."""
    with page_client(tmp_path, page_settings(tmp_path, access={"plc_owns_line": True})) as client:
        client.log_in("administer")
        changing = [path for path in addresses(client, "POST") if path not in ALWAYS]
        assert len(changing) > 3
        for path in changing:
            refused = client.post(path)
            assert (refused.status_code, "PLC" in refused.json()["error"]) == (423, True), path


def test_no_address_changes_anything_without_its_token(tmp_path: Path) -> None:
    """403 from each, for the administrator, too."""
    with page_client(tmp_path) as client:
        client.log_in("administer")
        for path in addresses(client, "POST"):
            assert client.http.post(path, data={"csrf": "0" * 64}).status_code == 403, path


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_page_says_in_words_that_nothing_is_there(tmp_path: Path, language: str) -> None:
    """No ledger, no archive, no recipes, no worker: no page fails, none waits for ever."""
    with page_client(tmp_path) as client:
        client.log_in("administer")
        headers = {"Accept": "text/html", "Accept-Language": language}
        for path in addresses(client, "GET"):
            if path == "/live/events":
                continue
            answer = client.http.get(path, headers=headers, follow_redirects=False)
            assert answer.status_code in {200, 303, 400, 404, 409, 503, 504}, (path, answer.text[:500])
        assert not client.site.events["page_failed"]

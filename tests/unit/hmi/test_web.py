"""The web application: who gets in, what every response carries, what an error looks like."""

from pathlib import Path

import pytest
from starlette.routing import Mount, Route
from tests.unit.made.page import page_client, page_settings

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

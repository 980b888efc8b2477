"""The demo's page is a real process that answers where the demo says, and lets the printed user in."""

import re
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from cmfm_sim.demo_line import Endpoints
from cmfm_sim.demo_page import USER, start_page
from cmfm_sim.errors import FailedError
from cmfm_sim.processes import Children


def test_the_address_and_the_password_work(tmp_path: Path) -> None:
    """The live page is open to all; the printed user logs in and sees pages of every role."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    browser.addheaders = [("Accept", "text/html")]
    with Children(tmp_path / "logs") as children:
        page = start_page(children, tmp_path, Endpoints.free(), lambda: False)
        with browser.open(page.address, timeout=30) as answer:
            found = re.search(r'data-csrf="(\w+)"', answer.read().decode())
        assert found is not None
        fields = {"csrf": found[1], "name": USER, "password": page.password, "next": "/audit"}
        form = urllib.parse.urlencode(fields).encode()
        with browser.open(f"{page.address}login", form, timeout=30) as answer:
            assert answer.url.endswith("/audit")
            assert "(administer)" in answer.read().decode()
        page.process.terminate()
        page.process.wait(lambda: False, 30)


def test_a_page_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The end of its log is in the message; no process is left."""
    (tmp_path / "hmi.secret").mkdir()
    with (
        Children(tmp_path / "logs") as children,
        pytest.raises(FailedError, match=r"access\.secret"),
    ):
        start_page(children, tmp_path, Endpoints.free(), lambda: False)

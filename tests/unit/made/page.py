"""The operator's page with its real site, in this process: no server, no worker; a client that logs in."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anyio.from_thread import start_blocking_portal
from starlette.testclient import TestClient

from cmfm_hmi.run import open_site
from cmfm_hmi.security.roles import USER_ROLES
from cmfm_hmi.settings.model import HmiSettings
from cmfm_hmi.site import Site
from cmfm_hmi.web import application
from cmfm_settings.section import FOLDER
from cmfm_settings.users import User, make_user, write_users
from cmfm_sim.ports import free_ports

PASSWORD = "correct horse"  # noqa: S105
HTML = {"Accept": "text/html"}
USERS: dict[str, User] = {role: make_user(role, role, PASSWORD) for role in USER_ROLES}
"""A user each role, named like it."""


class PageClient:
    """A browser without a screen: cookies, the CSRF token of the newest page, and the site behind it."""

    def __init__(self, client: TestClient, site: Site) -> None:
        self.http = client
        self.site = site

    def get(self, path: str, **options: Any) -> Any:
        """GET a page as a browser does."""
        return self.http.get(path, **({"headers": HTML} | options))

    def post(self, path: str, fields: Mapping[str, str] | None = None, **options: Any) -> Any:
        """POST a form with the CSRF token, as our scripts do: errors come as JSON."""
        return self.http.post(path, data={"csrf": self.csrf(), **(fields or {})}, **options)

    def csrf(self) -> str:
        """The token of this browser's session."""
        found = re.search(r'data-csrf="(\w+)"', self.get("/login").text)
        assert found is not None
        return found[1]

    def log_in(self, name: str, password: str = PASSWORD) -> Any:
        """Log in; the answer is that of the page."""
        fields = {"name": name, "password": password, "next": "/"}
        return self.post("/login", fields, headers=HTML, follow_redirects=False)


def page_settings(folder: Path, **sections: dict[str, Any]) -> HmiSettings:
    """Settings with all files in `folder` and a worker that is not there; `sections` replace keys."""
    ports = iter(free_ports(4))
    names = ("results", "maps", "recovery", "control")
    worker = {name: f"tcp://127.0.0.1:{next(ports)}" for name in names} | {"silence_s": 0.5}
    content: dict[str, dict[str, Any]] = {name: {} for name in HmiSettings.model_fields}
    content["worker"] = worker
    for name, values in sections.items():
        content[name] |= values
    return HmiSettings.model_validate(content, context={FOLDER: folder})


@contextmanager
def page_client(folder: Path, settings: HmiSettings | None = None) -> Iterator[PageClient]:
    """A client of a page whose files are in `folder`, with a user of each role (`USERS`, password `PASSWORD`)."""
    settings = settings or page_settings(folder)
    if not settings.access.users.exists():
        write_users(settings.access.users, USERS)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(open_site(settings)) as site,
        TestClient(application(site), base_url="http://localhost", raise_server_exceptions=False) as client,
    ):
        client.portal = portal
        yield PageClient(client, site)

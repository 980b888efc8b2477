"""Site: what every page is given."""

import time
from collections import Counter
from dataclasses import dataclass, field

from starlette.requests import Request

from cmfm_hmi.audit import AuditLog
from cmfm_hmi.board.board import LiveBoard
from cmfm_hmi.commands import WorkerCommands
from cmfm_hmi.history import History
from cmfm_hmi.kept.kept_parts import KeptParts
from cmfm_hmi.kept.marks import Marks
from cmfm_hmi.kept.picture_cache import PictureCache
from cmfm_hmi.line.live_line import LiveLine
from cmfm_hmi.rendering import Templates
from cmfm_hmi.security.lock import LineLock
from cmfm_hmi.security.sessions import Sessions
from cmfm_hmi.security.users import Users
from cmfm_hmi.settings.model import HmiSettings
from cmfm_hmi.store import PageStore
from cmfm_hmi.worker_requests import WorkerRequests
from cmfm_protocol.wire import control


@dataclass(frozen=True)
class Site:
    """Everything that pages share. `run.open_site` makes and closes it. `events` are what the metrics count."""

    settings: HmiSettings
    live: LiveLine
    board: LiveBoard
    history: History
    kept: KeptParts
    pictures: PictureCache
    marks: Marks
    commands: WorkerCommands
    requests: WorkerRequests
    audit: AuditLog
    pages: Templates
    lock: LineLock
    users: Users
    sessions: Sessions
    store: PageStore
    ended: set[str]
    events: Counter[str] = field(default_factory=Counter)

    def end_session(self, session_id: str) -> None:
        """Note durably that a session was logged out; blocks."""
        self.store.change(
            "INSERT OR REPLACE INTO ended_sessions (session_id, ended_ns) VALUES (?, ?)",
            (session_id, time.time_ns()),
        )
        self.ended.add(session_id)


def site_of(request: Request) -> Site:
    """Return the site of a request."""
    site: Site = request.app.state.site
    return site


async def request_worker(site: Site, request: control.Request, timeout_s: float = 2.0) -> control.Reply:
    """Return the worker's reply, asked in a thread. Raises PageError with a sentence."""
    return await site.requests.ask(request, timeout_s)

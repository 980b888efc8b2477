"""Builds the verdict book of a line, and opens the verdict thread with its request sockets."""

from collections.abc import Callable
from dataclasses import dataclass

from cmfm_protocol.wire.topics import topic
from cmfm_worker.clock import Clock
from cmfm_worker.line.net.curve import Keys
from cmfm_worker.line.net.sockets import Context
from cmfm_worker.line.verdicts.outputs import Outputs
from cmfm_worker.line.verdicts.publisher import Publisher
from cmfm_worker.line.verdicts.requests import Announce, ControlServer, LoadRecipe, RecoveryServer
from cmfm_worker.line.verdicts.verdict_book import VerdictBook
from cmfm_worker.line.verdicts.verdict_thread import VerdictThread
from cmfm_worker.line.verdicts.worker_state import StateReporter
from cmfm_worker.settings.model import Settings


@dataclass(frozen=True, slots=True)
class ControlActions:
    """What the requests on the control socket do; `drain` sets a flag of the service."""

    announce: Announce
    load_recipe: LoadRecipe
    drain: Callable[[], None]


def new_book(settings: Settings, boot_id: str) -> VerdictBook:
    """Make the empty verdict book of this boot."""
    name, station = settings.line.name, settings.line.station
    return VerdictBook(
        boot_id=boot_id,
        result_topic=topic(name, station, "result"),
        map_topic=topic(name, station, "map"),
        maps=settings.maps.publish,
    )


def open_verdict_thread(
    settings: Settings,
    context: Context,
    keys: Keys,
    *,
    book: VerdictBook,
    state: StateReporter,
    publisher: Publisher,
    outputs: Outputs,
    actions: ControlActions,
    queue_free: Callable[[], int],
    boot_id: str,
    clock: Clock,
) -> VerdictThread:
    """Bind the request sockets and make the thread, which is not started yet. Raises StartupError."""
    sockets = settings.sockets
    recovery = RecoveryServer(
        context, sockets.recovery, publisher.history, boot_id, keys.curve_server("recovery")
    )
    try:
        control = ControlServer(
            context,
            sockets.control,
            state=state.message,
            announce=actions.announce,
            load_recipe=actions.load_recipe,
            drain=actions.drain,
            curve=keys.curve_server("control"),
        )
    except Exception:
        recovery.close()
        raise
    return VerdictThread(
        book,
        outputs,
        control=control,
        recovery=recovery,
        queue_free=queue_free,
        state_ms=settings.results.state_ms,
        clock=clock,
    )

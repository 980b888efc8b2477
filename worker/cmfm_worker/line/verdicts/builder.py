"""Makes the verdict book of a line, and opens the verdict thread with its request sockets."""

from collections.abc import Callable

from cmfm_protocol.clock import Clock
from cmfm_protocol.wire.topics import topic
from cmfm_worker.line.messages import BookEvent
from cmfm_worker.line.net.builder import Net
from cmfm_worker.line.net.wakeable_queue import WakeableQueue
from cmfm_worker.line.verdicts.outputs import Outputs
from cmfm_worker.line.verdicts.publisher import Publisher
from cmfm_worker.line.verdicts.requests import ControlActions, ControlServer, RecoveryServer
from cmfm_worker.line.verdicts.verdict_book import VerdictBook
from cmfm_worker.line.verdicts.verdict_thread import VerdictThread
from cmfm_worker.settings.model import Settings


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
    net: Net,
    *,
    boot_id: str,
    clock: Clock,
    book: VerdictBook,
    events: WakeableQueue[BookEvent],
    queue_free: Callable[[], int],
    publisher: Publisher,
    outputs: Outputs,
    requests: ControlActions,
) -> VerdictThread:
    """Bind the request sockets and make the thread, not started yet. Raises StartupError if a port is taken."""
    context, keys, sockets = net.context, net.keys, settings.sockets
    recovery = RecoveryServer(
        context, sockets.recovery, publisher.history, boot_id, keys.curve_server("recovery")
    )
    control = ControlServer(context, sockets.control, requests, keys.curve_server("control"))
    return VerdictThread(
        book,
        outputs,
        events=events,
        control=control,
        recovery=recovery,
        queue_free=queue_free,
        state_ms=settings.results.state_ms,
        clock=clock,
    )

"""Opens what the line's sockets share: the ZeroMQ context, the CURVE keys, and the ZAP handler."""

from contextlib import ExitStack
from dataclasses import dataclass

import structlog
import zmq

from cmfm_worker.line.health.liveness import LineThreads
from cmfm_worker.line.net.curve import Keys, read_keys
from cmfm_worker.line.net.sockets import Context
from cmfm_worker.line.net.zap import ZapHandler
from cmfm_worker.settings.sections.network import CurveSection


@dataclass(frozen=True, slots=True)
class Net:
    """The ZeroMQ context and the keys of a line; `zap` is None on a line that does not encrypt."""

    context: Context
    keys: Keys
    zap: ZapHandler | None


def open_net(settings: CurveSection, stack: ExitStack, threads: LineThreads) -> Net:
    """Create the context, read the keys, and start the ZAP handler: no socket that it guards is bound yet.

    Raises InputError for a wrong key file.
    """
    context: Context = zmq.Context()
    stack.callback(_destroy, context, threads)
    keys = read_keys(settings)
    if keys.own is None:
        return Net(context, keys, None)
    zap = ZapHandler(context, keys)
    stack.callback(zap.close)
    threads.add("zap", zap)
    zap.start()
    allowed = {str(socket): len(allow_list) for socket, allow_list in keys.allowed.items()}
    structlog.get_logger("service").info("curve", public_key=keys.own.public.decode(), keys_allowed=allowed)
    return Net(context, keys, zap)


def _destroy(context: Context, threads: LineThreads) -> None:
    """Close sockets that a failed start or thread left open (the context would wait for them), and the context.

    A thread that still runs uses its sockets, and another thread may not close them.
    """
    if not threads.running("verdicts", "intake"):
        context.destroy()

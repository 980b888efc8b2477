"""The connection: something listens, speaks ZMTP as a publisher, publishes, and stays connected. Pure."""

from dataclasses import dataclass
from typing import Final

from cmfm_protocol.wire.limits import MAX_MESSAGE_BYTES
from cmfm_sim.conform.probe import Answer, Probe
from cmfm_sim.conform.report_lines import CheckLog, ReportLine

PUBLISHERS: Final = ("XPUB", "PUB")

NOT_THERE: Final = {
    Answer.NOBODY: (
        "nothing listens there",
        "the camera binds, the worker connects: start it; compare address, port",
    ),
    Answer.UNREACHABLE: (
        "no connection",
        "network, firewall, address? The camera binds to an address of this net",
    ),
    Answer.UNKNOWN_HOST: ("unknown host name", "correct the name, or give the address"),
    Answer.SILENT: ("what listens there is no ZeroMQ socket", "another program, or a camera that hangs?"),
    Answer.FOREIGN: ("another service answers there", "the camera's port? ZeroMQ 4.2 or newer is needed"),
    Answer.OLD_ZMTP: ("a ZeroMQ before version 4 answers", "ZeroMQ 4.2 or newer (ZMTP 3)"),
}


@dataclass(slots=True)
class Link:
    """The life of a connection: handshakes, how often it was lost, and by how many protocol errors (`given_up`).

    `keys`: CURVE is used on this side. `pulses_lost` counts ends of a connection that only asks for ZMTP heartbeats.
    """

    endpoint: str
    probe: Probe
    keys: bool = False
    handshakes: int = 0
    lost: int = 0
    given_up: int = 0
    pulses: int = 0
    pulses_lost: int = 0

    @property
    def disconnects(self) -> int:
        """How often the camera, or the network, ended the connection."""
        return max(self.lost - self.given_up, 0)


def connection_lines(link: Link, *, name: str, messages: int, kinds: int, wanted: str) -> list[ReportLine]:
    """The report on a connection, over which `messages` came, `kinds` of them `wanted` ones with a right topic."""
    log = CheckLog(name, "Sockets")
    log_of_security = CheckLog(name, "Security")
    _answer(link, log)
    _security(link, log_of_security)
    if link.handshakes:
        _life(link, log)
        if not messages:
            log.fail(
                "connected, and nothing is published",
                "send on every subscription; is a trigger needed? A PUB socket drops what is sent before a "
                "subscription has arrived",
            )
        elif not kinds:
            log.fail(f"no {wanted} message was heard", "let parts pass while conform listens; compare topics")
    security = log_of_security.lines()
    passed = "" if log_of_security.failed or not link.handshakes else _passed(link)
    return [*security, *log.lines(passed)]


def _passed(link: Link) -> str:
    kind = f", {link.probe.socket_type}" if link.probe.socket_type else ""
    return f"{link.probe.detail or 'ZMTP'}, {link.probe.mechanism or 'NULL'}{kind} at {link.endpoint}"


def _answer(link: Link, log: CheckLog) -> None:
    probe = link.probe
    if probe.answer in NOT_THERE:
        if not link.handshakes:
            what, do = NOT_THERE[probe.answer]
            log.fail(what, do, f"{link.endpoint}: {probe.detail}")
        return
    if probe.socket_type and probe.socket_type not in PUBLISHERS:
        log.fail(
            f"a {probe.socket_type} socket answers",
            "bind an XPUB socket; the worker connects a SUB",
            link.endpoint,
        )
    elif probe.socket_type == "PUB":
        log.remark(
            "a PUB socket",
            "XPUB with XPUB_NODROP tells the camera of lost frames (pub_drops), and of the worker's subscription",
        )
    if not link.handshakes and probe.mechanism == "NULL" and not link.keys and not log.failed:
        log.fail(
            "no ZMTP handshake was completed", "listen longer; is the socket served? look at the camera's log"
        )


def _security(link: Link, log: CheckLog) -> None:
    mechanism = link.probe.mechanism
    if mechanism == "PLAIN":
        log.fail("the camera wants PLAIN passwords", "no security, or CURVE")
    elif mechanism == "CURVE" and not link.keys:
        log.fail(
            "the camera speaks CURVE",
            "give conform --key and --server-key, and the worker [curve] cameras",
        )
    elif mechanism == "NULL" and link.keys:
        log.fail("the camera speaks no CURVE", "set curve_server and its secret key before bind")
    elif link.keys and not link.handshakes and link.probe.answer is Answer.ZMTP:
        log.fail(
            "CURVE keys do not fit",
            "--server-key is the camera's public key; does the camera admit the public key of --key?",
        )


def _life(link: Link, log: CheckLog) -> None:
    if link.given_up:
        log.fail(
            f"the connection broke by a protocol error: a message frame above {MAX_MESSAGE_BYTES} bytes, or damaged "
            "framing",
            "send smaller message frames; a network device or a hand-written ZMTP may damage them",
            f"{link.given_up} of {link.handshakes} connections",
        )
    elif link.disconnects:
        ended = (
            "the connection ended"
            if link.disconnects == 1
            else f"the connection ended {link.disconnects} times"
        )
        log.remark(
            ended + (" and was made again" if link.handshakes > 1 else ""),
            "right if the camera was stopped; else look at its process and network",
        )
    if link.pulses_lost > link.disconnects + link.given_up:
        log.fail(
            "ZMTP heartbeats (PING) are not answered",
            "libzmq answers by itself; a hand-written ZMTP must reply PONG. A worker reports this camera as lost",
            f"{link.pulses_lost} of {link.pulses} connections",
        )

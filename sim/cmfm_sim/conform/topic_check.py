"""Topics: their form, their kind, and one line and station for a camera."""

from collections import Counter
from typing import Final

from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.topics import parse_topic
from cmfm_protocol.wire.verdict import Reason
from cmfm_sim.conform.heard import MessageFrames
from cmfm_sim.conform.report_lines import CheckLog, ReportLine

FORM: Final = "cmfm/1/<line>/<station>/<kind>/"
CAMERA_KINDS: Final = ("frame", "trigger", "state")
SHOWN_CHARS: Final = 60


class TopicCheck:
    """Reads the topic of every message. `line` and `station` are those of the worker, empty if not known."""

    def __init__(self, line: str = "", station: str = "") -> None:
        self._expected = (line, station)
        self._log = CheckLog("topic", "Topics")
        self._places: Counter[tuple[str, str]] = Counter()
        self.kinds: Counter[str] = Counter()

    def kind_of(self, frames: MessageFrames) -> str | None:
        """The kind of a message, None if a worker would not hear it or not take it from a camera."""
        topic = bytes(frames[0])
        try:
            found = parse_topic(topic)
        except RemoteProtocolError as error:
            self._refuse(topic, error, alone=len(frames) == 1)
            return None
        if found.kind not in CAMERA_KINDS:
            self._log.fail(
                f"kind {found.kind!r} is the worker's, not a camera's",
                f"send {', '.join(CAMERA_KINDS)} only",
            )
            return None
        self._places[(found.line, found.station)] += 1
        self.kinds[found.kind] += 1
        return found.kind

    def lines(self) -> list[ReportLine]:
        """The report."""
        for line, station in self._places:
            for what, expected, given in zip(
                ("line", "station"), self._expected, (line, station), strict=True
            ):
                if expected and given != expected:
                    self._log.fail(
                        f"{what} {given!r} is not {expected!r}, so the worker hears nothing",
                        f"write the name under [line] in line.toml, or change --{what}",
                    )
        if len(self._places) > 1:
            places = ", ".join("/".join(place) for place in self._places)
            self._log.fail(
                f"topics of {len(self._places)} places: {places}",
                "use one line and station: a worker listens to one, and never hears the rest",
            )
        names = ", ".join(f"line {line}, station {station}" for line, station in self._places)
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        return self._log.lines(f"{names}: {counts} messages" if self._places else "")

    def _refuse(self, topic: bytes, error: RemoteProtocolError, *, alone: bool) -> None:
        shown = topic[:SHOWN_CHARS].decode("ascii", errors="backslashreplace")
        if alone and len(topic) > SHOWN_CHARS:
            self._log.fail(
                "one message frame: topic and payload are joined",
                "send a multipart message, the topic as its first message frame",
                shown,
            )
        elif error.reason is Reason.UNKNOWN_VERSION:
            self._log.fail("topic of another major version", f"this is version 1: {FORM}", shown)
        elif topic.startswith(b"cmfm/") and not topic.endswith(b"/"):
            self._log.fail("topic without its last slash: no worker hears it", f"send {FORM}", shown)
        else:
            self._log.fail("topic of another form: no worker hears it", f"send {FORM}", shown)

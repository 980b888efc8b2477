"""Names the camera of each trigger. Streams belong to the camera whose frames were heard under them."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_worker.line.messages import Arrived, BookEvent, Opened, Trigger

MAX_STREAMS: Final = 1024
"""Streams whose camera is known; the oldest are forgotten."""


class CameraNames:
    """Enters the camera's name in the triggers that are posted. One thread (the intake) calls it.

    `names` maps endpoints to names. `source` is the endpoint of the message that is being handled, "" if it came from
    no camera.
    """

    def __init__(self, names: Mapping[str, str], post: Callable[[BookEvent], None]) -> None:
        self.source = ""
        self._names = names
        self._post = post
        self._streams: OrderedDict[str, str] = OrderedDict()  # stream → camera
        self._newest: dict[str, str] = {}  # camera → stream

    @property
    def here(self) -> str:
        """The name of the camera whose message is being handled, "" if there is none."""
        return self._names.get(self.source, "")

    def name(self, endpoint: str) -> str:
        """Return the name of the camera at an endpoint, the endpoint itself if it has none."""
        return self._names.get(endpoint, endpoint)

    def heard(self, stream_uuid: str, *, frame: bool) -> None:
        """Note that `source` sent a readable message of a stream; a frame settles whose stream it is."""
        name = self.here
        if frame or stream_uuid not in self._streams:
            self._streams[stream_uuid] = name
        self._streams.move_to_end(stream_uuid)
        if len(self._streams) > MAX_STREAMS:
            self._streams.popitem(last=False)
        if self._streams[stream_uuid] == name:
            self._newest[name] = stream_uuid

    def stream_of(self, camera: str) -> str | None:
        """Return the newest stream of the camera of this name, None if none was heard."""
        return self._newest.get(camera)

    def post(self, event: BookEvent) -> None:
        """Post an event, its trigger with the camera's name."""
        if isinstance(event, Opened | Arrived):
            event = replace(event, trigger=replace(event.trigger, camera=self._name(event.trigger)))
        self._post(event)

    def _name(self, trigger: Trigger) -> str:
        if trigger.key.stream_uuid == UNATTRIBUTED_STREAM:
            return self.here
        return self._streams.get(trigger.key.stream_uuid, self.here)

"""The edge node's rules: topics, sequence numbers, births, deaths, and what has changed. Pure."""

import json
from collections.abc import Iterable
from typing import Final

from cmfm_gateway.line_view import LineView
from cmfm_gateway.mqtt.payloads import Delivery
from cmfm_gateway.sparkplug.metrics import (
    BD_SEQ,
    REBIRTH,
    RECIPE,
    line_metrics,
    line_values,
    no_result,
    result_metrics,
)
from cmfm_gateway.sparkplug.payload import DataType, Metric, Value, encode_payload
from cmfm_gateway.store import StoredResult

NAMESPACE: Final = "spBv1.0"
SEQ_VALUES: Final = 256
BY_HEARTBEAT: Final = frozenset({"Worker/sent_ns", "Worker/uptime_s"})
"""Metrics that change with every heartbeat: they are sent with others that have changed, never alone."""

MAX_STATE_BYTES: Final = 4096


class EdgeNode:
    """One connection's sequence: its death certificate first (the will), then a birth, then data.

    `bd_seq` pairs birth and death, 0 to 255, another one for each connection. `commands`: recipe changes are taken.
    """

    def __init__(self, group: str, node: str, *, bd_seq: int, commands: bool) -> None:
        self.bd_seq = bd_seq % SEQ_VALUES
        self._group = group
        self._node = node
        self._commands = commands
        self._seq = 0
        self._shown: dict[str, Value] = {}

    def topic(self, kind: str) -> str:
        """The topic of NBIRTH, NDEATH, NDATA or NCMD."""
        return f"{NAMESPACE}/{self._group}/{kind}/{self._node}"

    def death(self, now_ms: int) -> bytes:
        """The payload of NDEATH."""
        return encode_payload([self._bd_seq_metric(now_ms)], timestamp_ms=now_ms, seq=None)

    def birth(self, view: LineView, now_ms: int) -> bytes:
        """The payload of NBIRTH: every metric. The sequence starts again at 0."""
        self._seq = 0
        self._shown = line_values(view)
        controls = [self._bd_seq_metric(now_ms), Metric(REBIRTH, DataType.BOOLEAN, False, now_ms)]
        if self._commands:
            controls.append(Metric(RECIPE, DataType.STRING, None, now_ms))
        metrics = [*controls, *line_metrics(self._shown, now_ms), *no_result(now_ms)]
        return encode_payload(metrics, timestamp_ms=now_ms, seq=self._seq)

    def line_data(self, view: LineView, now_ms: int) -> bytes | None:
        """The payload of NDATA with what has changed in the line's view; None if nothing has."""
        values = line_values(view)
        changed = {name: value for name, value in values.items() if value != self._shown.get(name)}
        if not changed.keys() - BY_HEARTBEAT:
            return None
        self._shown = values
        return self._data(line_metrics(changed, now_ms), now_ms)

    def result_data(self, stored: StoredResult, how: Delivery, *, historical: bool, now_ms: int) -> bytes:
        """The payload of NDATA with one result."""
        return self._data(result_metrics(stored, how, historical=historical), now_ms)

    def _data(self, metrics: Iterable[Metric], now_ms: int) -> bytes:
        self._seq = (self._seq + 1) % SEQ_VALUES
        return encode_payload(list(metrics), timestamp_ms=now_ms, seq=self._seq)

    def _bd_seq_metric(self, now_ms: int) -> Metric:
        return Metric(BD_SEQ, DataType.INT64, self.bd_seq, now_ms)


class PrimaryHost:
    """The STATE of the primary host application: whether it is online, by its newest timestamp."""

    def __init__(self, host_id: str) -> None:
        self.online = False
        self._topic = f"{NAMESPACE}/STATE/{host_id}"
        self._newest_ms = 0

    @property
    def topic(self) -> str:
        """The topic of its STATE messages."""
        return self._topic

    def hear(self, payload: bytes) -> bool:
        """Take a STATE message. True if it was one and is not older than the one before."""
        try:
            state = json.loads(payload) if len(payload) <= MAX_STATE_BYTES else None
        except (ValueError, RecursionError):
            return False
        if not isinstance(state, dict):
            return False
        online, timestamp_ms = state.get("online"), state.get("timestamp")
        if not isinstance(online, bool) or type(timestamp_ms) is not int or timestamp_ms < self._newest_ms:
            return False
        self.online, self._newest_ms = online, timestamp_ms
        return True

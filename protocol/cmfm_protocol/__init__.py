"""The contracts of an inspection line: wire messages, data set files, pictures. No sockets, no torch.

This module exports the wire (`cmfm_protocol.wire`, described in WIRE.md), which needs numpy and msgpack alone. Encoders
raise LocalProtocolError, decoders RemoteProtocolError and nothing else. Data sets are read by
`cmfm_protocol.files.dataset`, pictures are drawn by `cmfm_protocol.pictures.panels`.
"""

from cmfm_protocol.wire.anomaly_map import AnomalyMaps, decode_maps, encode_maps
from cmfm_protocol.wire.arrays import ArraySpec
from cmfm_protocol.wire.control import (
    AnnounceRequest,
    DrainRequest,
    LoadRecipeRequest,
    Reply,
    Request,
    ResultsPage,
    ResultsSinceRequest,
    StatusRequest,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    encode_results_reply,
)
from cmfm_protocol.wire.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM, Frame, FrameHeader, decode_frame, encode_frame
from cmfm_protocol.wire.record_requests import AuditRequest, CollectRequest
from cmfm_protocol.wire.result import Region, Result, decode_result, encode_result, fit_text
from cmfm_protocol.wire.state import (
    CameraState,
    CollectState,
    SourceState,
    WorkerPhase,
    WorkerState,
    decode_camera_state,
    decode_worker_state,
    encode_camera_state,
    encode_worker_state,
)
from cmfm_protocol.wire.topics import Topic, parse_topic, topic
from cmfm_protocol.wire.trigger import TriggerMessage, decode_trigger, encode_trigger
from cmfm_protocol.wire.verdict import FAULT_REASONS, OPC_40001_101, REASONS_OF, VERDICT_OF, Reason, Verdict

__all__ = [
    "FAULT_REASONS",
    "OPC_40001_101",
    "REASONS_OF",
    "UNATTRIBUTED_STREAM",
    "VERDICT_OF",
    "AnnounceRequest",
    "AnomalyMaps",
    "ArraySpec",
    "AuditRequest",
    "CameraState",
    "CollectRequest",
    "CollectState",
    "DrainRequest",
    "Frame",
    "FrameHeader",
    "LoadRecipeRequest",
    "LocalProtocolError",
    "ProtocolError",
    "Reason",
    "Region",
    "RemoteProtocolError",
    "Reply",
    "Request",
    "Result",
    "ResultsPage",
    "ResultsSinceRequest",
    "SourceState",
    "StatusRequest",
    "Topic",
    "TriggerMessage",
    "Verdict",
    "WorkerPhase",
    "WorkerState",
    "decode_camera_state",
    "decode_frame",
    "decode_maps",
    "decode_reply",
    "decode_request",
    "decode_result",
    "decode_trigger",
    "decode_worker_state",
    "encode_camera_state",
    "encode_frame",
    "encode_maps",
    "encode_reply",
    "encode_request",
    "encode_result",
    "encode_results_reply",
    "encode_trigger",
    "encode_worker_state",
    "fit_text",
    "parse_topic",
    "topic",
]

"""Clients of an inspection line over ZeroMQ: a camera, a subscriber that misses no result, requests to the worker.

In: parts' colour and points (`Camera`), a worker's messages (`ResultSubscriber`), replies (`RequestClient`).
Out: sealed frames, triggers and heartbeats; events with results, gaps and restarts; requests.
Each object belongs to one thread at a time and starts none, except a camera that checks its workers' keys.
`protocol/CLIENT.md` has complete programs; `cmfm_client.sockets` explains each libzmq option that is set.
"""

from cmfm_client.camera import Camera
from cmfm_client.camera_socket import CameraOptions
from cmfm_client.curve import CameraKeys, ClientKeys
from cmfm_client.errors import (
    BindError,
    ClientError,
    EndpointError,
    NoReplyError,
    NoSubscriberError,
    RecordError,
    RefusedError,
)
from cmfm_client.events import (
    Damaged,
    Event,
    Key,
    LinkChanged,
    LossCause,
    Lost,
    NewBoot,
    Received,
    Silence,
)
from cmfm_client.received_ids import IdRange, Missing, ReceivedIds
from cmfm_client.requests import RequestClient
from cmfm_client.result_log import ResultLog
from cmfm_client.subscriber import ResultSubscriber, SubscriberOptions
from cmfm_protocol.clock import Clock, SystemClock

__all__ = [
    "BindError",
    "Camera",
    "CameraKeys",
    "CameraOptions",
    "ClientError",
    "ClientKeys",
    "Clock",
    "Damaged",
    "EndpointError",
    "Event",
    "IdRange",
    "Key",
    "LinkChanged",
    "LossCause",
    "Lost",
    "Missing",
    "NewBoot",
    "NoReplyError",
    "NoSubscriberError",
    "Received",
    "ReceivedIds",
    "RecordError",
    "RefusedError",
    "RequestClient",
    "ResultLog",
    "ResultSubscriber",
    "Silence",
    "SubscriberOptions",
    "SystemClock",
]

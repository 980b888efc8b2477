"""Endpoints that are accepted and refused, and IPv6."""

import pytest
import zmq

from cmfm_client.camera import Camera
from cmfm_client.camera_socket import CameraOptions
from cmfm_client.errors import EndpointError
from cmfm_client.sockets import ZmqContext, check_endpoint, connect


@pytest.mark.parametrize(
    "endpoint", ["tcp://127.0.0.1:5555", "tcp://*:1", "tcp://[::1]:*", "ipc:///run/a", "ipc://@abstract"]
)
def test_valid_endpoint_is_returned(endpoint: str) -> None:
    """TCP with a port, or a path."""
    assert check_endpoint(endpoint, "results endpoint") == endpoint


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("127.0.0.1:5555", "expected tcp://HOST:PORT or ipc://PATH"),
        ("tcp://127.0.0.1", "expected tcp"),
        ("tcp://127.0.0.1:0", "a port is 1 to 65535"),
        ("tcp://h:70000", "a port is 1 to 65535"),
        ("udp://x:1", "expected tcp"),
        ("ipc://" + "x" * 108, "at most 107 bytes"),
    ],
)
def test_invalid_endpoint_is_refused_with_its_name(endpoint: str, message: str) -> None:
    """The message says whose endpoint it is, and what is wrong with it."""
    with pytest.raises(EndpointError, match=f"^results endpoint .*{message}"):
        check_endpoint(endpoint, "results endpoint")


def test_ipv6_endpoint_can_be_used() -> None:
    """libzmq has IPv6 off by default."""
    context: ZmqContext = zmq.Context()
    worker = context.socket(zmq.SUB)
    worker.subscribe(b"")
    try:
        with Camera(CameraOptions("tcp://[::1]:*")) as camera:
            connect(worker, camera.endpoint, "camera endpoint")
            assert camera.wait_for_subscriber(5)
    finally:
        context.destroy(0)

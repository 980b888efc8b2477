"""The request sockets: whatever arrives, the next client is served."""

import threading
from collections.abc import Iterator

import msgpack
import pytest
import zmq

from cmfm_protocol.wire.control import (
    Reply,
    Request,
    StatusRequest,
    decode_reply,
    encode_reply,
    encode_request,
)
from cmfm_protocol.wire.limits import MAX_REQUEST_BYTES
from cmfm_worker.line.net.sockets import Context, Socket
from cmfm_worker.line.verdicts.requests import Router


class Yes(Router):
    """Answers every valid request with ok."""

    def answer(self, envelope: list[bytes], request: Request) -> None:
        self.send(envelope, encode_reply(Reply(request.id, ok=True)))


@pytest.fixture
def client() -> Iterator[Socket]:
    """A DEALER connected to a router that is being served."""
    context: Context = zmq.Context()
    router = Yes(context, "tcp://127.0.0.1:*", None)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            router.socket.poll(20)
            router.serve()

    thread = threading.Thread(target=serve)
    thread.start()
    dealer = context.socket(zmq.DEALER)
    dealer.setsockopt(zmq.RCVTIMEO, 10_000)
    dealer.connect(router.socket.getsockopt_string(zmq.LAST_ENDPOINT))
    yield dealer
    ended.set()
    thread.join()
    dealer.close(0)
    router.socket.close(0)
    context.term()


def served(client: Socket) -> bool:
    """Return whether a valid request is answered."""
    client.send_multipart([b"", encode_request(StatusRequest("q"))])
    return decode_reply(client.recv_multipart()[-1]) == Reply("q", ok=True)


@pytest.mark.parametrize(
    "body", [b"", b"\xff" * 100, b"\x80", b"\xdf\xff\xff\xff\xff", b"\x81\xa1v\x02", b"\x93" * 4000]
)
def test_invalid_request_gets_an_error(client: Socket, body: bytes) -> None:
    """The reply has an error and no id."""
    client.send_multipart([b"", body])
    reply = decode_reply(client.recv_multipart()[-1])
    assert (reply.id, reply.ok) == ("", False)
    assert reply.error
    assert served(client)


@pytest.mark.parametrize(
    "body",
    [
        {"v": 1, "id": "q7", "op": "open_sesame"},
        {"v": 1, "id": "q7", "op": "load_recipe"},
        {"v": 1, "id": "q7", "op": "load_recipe", "recipe": "../x"},
        {"v": 2, "id": "q7", "op": "status"},
        {"id": "q7", "op": "status"},
        {"v": 1, "id": "q7"},
        {"v": 1, "id": "q7", "op": "announce", "trigger": {}},
    ],
)
def test_refusal_has_the_id_that_could_be_read(client: Socket, body: dict[str, object]) -> None:
    """A client with several requests under way learns which of them is refused."""
    client.send_multipart([b"", msgpack.packb(body)])
    reply = decode_reply(client.recv_multipart()[-1])
    assert (reply.id, reply.ok) == ("q7", False)


@pytest.mark.parametrize("wrong", ["", "x" * 65, 7, None, ["q"], "a\nb"])
def test_refusal_repeats_no_invalid_id(client: Socket, wrong: object) -> None:
    """An id that is no id is not sent back, and the refusal still arrives."""
    client.send_multipart([b"", msgpack.packb({"v": 1, "id": wrong, "op": "status"})])
    reply = decode_reply(client.recv_multipart()[-1])
    assert (reply.id, reply.ok) == ("", False)
    assert served(client)


@pytest.mark.parametrize("count", [10, 1000])
def test_request_of_many_message_frames_is_refused(client: Socket, count: int) -> None:
    """The reply does not repeat what was sent in front of the request."""
    client.send_multipart([b"x" * 1000] * count + [encode_request(StatusRequest("q"))])
    reply = client.recv_multipart()
    assert len(reply) == 1
    assert not decode_reply(reply[0]).ok
    assert served(client)


def test_oversize_request_is_not_taken(client: Socket) -> None:
    """A message frame above the limit ends its connection before it is in memory; the client may connect again."""
    client.send_multipart([b"", b"\x81" + b"x" * MAX_REQUEST_BYTES])
    assert not client.poll(300)
    assert served(client)

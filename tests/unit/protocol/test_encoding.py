"""The subset of msgpack that is accepted, and topics."""

import msgpack
import pytest

from cmfm_protocol import (
    LocalProtocolError,
    Reason,
    RemoteProtocolError,
    Topic,
    decode_camera_state,
    parse_topic,
    topic,
)
from cmfm_protocol.wire import limits

TOPIC = topic("line1", "station1", "state")
GOOD = {"v": 1, "stream_uuid": "s", "next_seq": 1, "closing": False, "sent_ns": 1, "pub_drops": 0}
BODY: bytes = msgpack.packb(GOOD)


def beside(extra: bytes) -> bytes:
    """The good map with one more key `x`, whose value is `extra`."""
    return bytes([BODY[0] + 1]) + BODY[1:] + b"\xa1x" + extra


def test_an_unknown_key_alone_does_no_harm() -> None:
    """An unknown key is ignored: the other tests here fail for its value, not for its presence."""
    assert decode_camera_state([TOPIC, beside(b"\xc0")]).next_seq == 1


@pytest.mark.parametrize(
    "value",
    [
        b"\xd6\xff\x00\x00\x00\x01",  # timestamp of 32 bits
        b"\xd7\xff" + bytes(8),  # timestamp of 64 bits
        b"\xc7\x0c\xff" + bytes(12),  # timestamp of 96 bits
        b"\xc7\x00\x05",  # an empty extension
        b"\xd4\x05\x00",  # an extension
        b"\xc1",  # never used
        b"\x91" * 2000 + b"\xc0",  # nested deeper than any message
        b"\x81\xa1k" * 2000 + b"\xc0",
        b"\x91" * 60_000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",  # four billion items announced
        b"\xdf\xff\xff\xff\xff",  # four billion keys announced
        b"\xdb\xff\xff\xff\xff",  # four gigabytes of text announced
        b"\xc6\xff\xff\xff\xff",  # four gigabytes of bytes announced
        b"\xdc\x04\x01" + b"\xc0" * 1025,  # one item more than any list has
        b"\xde\x00\x41" + b"".join(msgpack.packb(str(n)) + b"\xc0" for n in range(65)),
        b"\xa1\xff",  # not UTF-8
        b"\xa3\xed\xa0\x80",  # a lone surrogate
        b"\x81\xc0\xc0",  # nil as a key
        b"\x81\x01\xc0",  # a number as a key
        b"\x81\x90\xc0",  # a list as a key
        b"\x81\xc4\x01k\xc0",  # bytes as a key
        b"\x82\xa1k\x01\xa1k\x02",  # the same key twice
    ],
)
def test_msgpack_outside_the_contract_is_malformed(value: bytes) -> None:
    """Extensions, excess and ambiguity are refused even under a key that would be ignored, at no cost."""
    with pytest.raises(RemoteProtocolError) as caught:
        decode_camera_state([TOPIC, beside(value)])
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("body", [BODY + b"\xc0", BODY[:-1], b"", b"\x90", BODY[:1] + BODY[1:3] + BODY[1:]])
def test_only_one_whole_map_is_accepted(body: bytes) -> None:
    """Bytes too many or too few, and anything but a map, are refused."""
    with pytest.raises(RemoteProtocolError):
        decode_camera_state([TOPIC, body])


def test_duplicate_of_a_known_key_is_refused() -> None:
    """A map that says two things about one field is not interpreted."""
    doubled = bytes([BODY[0] + 1]) + BODY[1:] + msgpack.packb("next_seq") + b"\x09"
    with pytest.raises(RemoteProtocolError, match="twice"):
        decode_camera_state([TOPIC, doubled])


def test_oversize_is_refused_unread() -> None:
    """A map above its limit is not even parsed."""
    with pytest.raises(RemoteProtocolError) as caught:
        decode_camera_state([TOPIC, bytes(limits.MAX_STATE_BYTES + 1)])
    assert caught.value.reason is Reason.OVERSIZE


@pytest.mark.parametrize("kind", ["frame", "result", "map", "state", "trigger"])
def test_topic_is_parsed_into_its_names(kind: str) -> None:
    """Parsing a topic returns the names it was made of."""
    assert topic("line-1", "st.2_b", kind) == f"cmfm/1/line-1/st.2_b/{kind}/".encode()
    assert parse_topic(memoryview(topic("line-1", "st.2_b", kind))) == Topic("line-1", "st.2_b", kind)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "ä", ".", "..", "a.", ".a", "x" * 65, "line\n"])
def test_bad_name_makes_no_topic(name: str) -> None:
    """A name that would change the topic's shape, or a folder's, is refused."""
    with pytest.raises(LocalProtocolError):
        topic(name, "station1", "frame")
    with pytest.raises(LocalProtocolError):
        topic("line1", name, "frame")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"", Reason.MALFORMED),
        (b"cmfm/1/line1/station1/frame", Reason.MALFORMED),
        (b"cmfm/1/line1/station1/frame/x", Reason.MALFORMED),
        (b"cmfm/1/line1/station1/frames/", Reason.MALFORMED),
        (b"cmfm/1//station1/frame/", Reason.MALFORMED),
        (b"cmfm/1/line1/../frame/", Reason.MALFORMED),
        (b"cmfm/1/line1/\xff/frame/", Reason.MALFORMED),
        (b"cmfm/one/line1/station1/frame/", Reason.MALFORMED),
        (b"cmfm/2/line1/station1/frame/", Reason.UNKNOWN_VERSION),
        (b"\0" * 10_000, Reason.MALFORMED),
    ],
)
def test_wrong_topic_is_refused(name: bytes, reason: Reason) -> None:
    """Bytes that are not a topic of this version are refused."""
    with pytest.raises(RemoteProtocolError) as caught:
        parse_topic(name)
    assert caught.value.reason is reason


def test_line1_does_not_match_line10() -> None:
    """A subscriber of one line, which filters by prefix, never gets another's verdicts."""
    assert not topic("line10", "s", "result").startswith(topic("line1", "s", "result"))
    assert not topic("line1", "s10", "result").startswith(topic("line1", "s1", "result"))

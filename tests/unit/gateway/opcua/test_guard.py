"""Requests that the library would let through and the server refuses: the client gets an error, the others go on."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.ua import ua_binary
from tests.unit.made.opcua_line import OpcUaLine, opcua_line, until
from tests.unit.made.publishing_line import PublishingLine

from cmfm_gateway.opcua.serving import limits
from cmfm_gateway.opcua.serving.session import publishing_interval_ms
from cmfm_gateway.opcua.trust_list import thumbprint

SERVER_TIME = ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)


@pytest.fixture
def line() -> Iterator[PublishingLine]:
    with PublishingLine() as made:
        yield made


@contextlib.asynccontextmanager
async def channel(client: Client) -> AsyncIterator[Any]:
    """A secure channel without a session."""
    await client.connect_socket()
    try:
        await client.send_hello()
        await client.open_secure_channel()
        yield client.uaclient
    finally:
        with contextlib.suppress(Exception):
            await client.close_secure_channel()
        client.disconnect_socket()


def session_parameters(client: Client) -> Any:
    parameters = ua.CreateSessionParameters()
    parameters.ClientDescription.ApplicationUri = client.application_uri
    parameters.EndpointUrl = client.server_url.geturl()
    parameters.RequestedSessionTimeout = 60_000
    return parameters


async def status_of(awaitable: Any) -> str:
    """The name of the status code that a request fails with; "Good" if it does not."""
    try:
        await awaitable
    except ua.UaStatusCodeError as error:
        return str(ua.StatusCode(error.code).name)
    return "Good"


async def read_time(uaclient: Any) -> None:
    request = ua.ReadParameters(
        NodesToRead=[ua.ReadValueId(NodeId=SERVER_TIME, AttributeId=ua.AttributeIds.Value)]
    )
    (value,) = await uaclient.read(request)
    value.StatusCode.check()


def test_without_encryption_there_is_discovery_and_nothing_else(line: PublishingLine, tmp_path: Path) -> None:
    """Endpoints ask for Sign and Encrypt and for a user; a session is refused, and so is everything before one."""

    async def scenario() -> None:
        async with opcua_line(tmp_path, line) as served:
            client = Client(served.url)
            async with channel(client) as uaclient:
                endpoints = await client.get_endpoints()
                assert {each.SecurityMode for each in endpoints} == {ua.MessageSecurityMode.SignAndEncrypt}
                policies = {each.SecurityPolicyUri.rpartition("#")[2] for each in endpoints}
                assert policies == {"Basic256Sha256", "Aes256_Sha256_RsaPss"}
                tokens = {token.TokenType for each in endpoints for token in each.UserIdentityTokens}
                assert tokens == {ua.UserTokenType.UserName}
                create = uaclient.protocol.send_request(
                    ua.CreateSessionRequest(Parameters=session_parameters(client))
                )
                assert await refused(create) == "BadSecurityPolicyRejected"
                registered = ua.RegisterServerRequest()
                assert await refused(uaclient.protocol.send_request(registered)) == "BadServiceUnsupported"
                read = ua.ReadRequest()
                assert await refused(uaclient.protocol.send_request(read)) == "BadSecurityPolicyRejected"
            assert served.refused("no_encryption") == 2

    asyncio.run(scenario())


async def refused(request: Any) -> str:
    """The name of the service fault that a raw request gets."""
    try:
        body = await request
    except ua.UaStatusCodeError as error:
        return str(ua.StatusCode(error.code).name)
    response = ua_binary.struct_from_binary(ua.ServiceFault, body)
    return str(response.ResponseHeader.ServiceResult.name)


def test_certificates_and_users_are_required(line: PublishingLine, tmp_path: Path) -> None:
    """Unknown, expired and weak certificates get no channel; wrong passwords and anonymous clients no session.

    A refused certificate is listed and accepted without a restart. Guessing is slowed for the guesser alone.
    """

    async def scenario() -> None:
        async with opcua_line(tmp_path, line) as served:
            stranger = served.client_files("stranger", trusted=False)
            assert "BadSecurityChecksFailed" in await failure(served, files=stranger)
            assert served.refused("untrusted_certificate") == 1
            (listed,) = served.trust_list.rejected()
            served.trust_list.trust(thumbprint(listed)[:8])
            async with served.client(files=stranger) as client:
                await read_time(client.uaclient)
                for _ in range(6):
                    assert "BadUserAccessDenied" in await failure(served, user="plc", password=WRONG)
                assert "BadUserAccessDenied" in await failure(served, user="plc")
                assert served.refused("wrong_password") == 7
                assert "BadIdentityTokenRejected" in await failure(served, user="", files=stranger)
                async with served.client("viewer", files=stranger) as viewer:
                    await read_time(viewer.uaclient)

    asyncio.run(scenario())


async def failure(served: OpcUaLine, **options: Any) -> str:
    """Return the error that a connection fails with."""
    client = await served.new_client(options.pop("user", "plc"), **options)
    try:
        async with client:
            return "connected"
    except (ua.UaError, ConnectionError, TimeoutError, OSError) as error:
        return f"{type(error).__name__} {error}"


def test_a_session_counts_only_once_it_is_activated(line: PublishingLine, tmp_path: Path) -> None:
    """Before that nothing can be read; another session's token opens nothing; sessions are as many as allowed."""

    async def scenario() -> None:
        async with opcua_line(tmp_path, line, section={"sessions": 2}) as served:
            async with served.client() as first:
                second = await served.new_client()
                async with channel(second) as uaclient:
                    await second.create_session()
                    read = ua.ReadRequest()
                    read.Parameters.NodesToRead = [ua.ReadValueId(NodeId=SERVER_TIME, AttributeId=13)]
                    assert await refused(uaclient.protocol.send_request(read)) == "BadSessionNotActivated"
                    uaclient.protocol.authentication_token = first.uaclient.protocol.authentication_token
                    again = ua.ReadRequest()
                    assert await refused(uaclient.protocol.send_request(again)) == "BadSessionIdInvalid"
                    assert "BadTooManySessions" in await failure(served)
                await read_time(first.uaclient)
            await until(lambda: served.refused("not_activated") == 2)
            async with served.client() as third, served.client() as fourth:
                await read_time(third.uaclient)
                await read_time(fourth.uaclient)

    asyncio.run(scenario())


def test_anonymous_clients_read_only_if_the_settings_say_so(line: PublishingLine, tmp_path: Path) -> None:
    """They need a trusted certificate all the same, and control nothing."""

    async def scenario() -> None:
        async with opcua_line(tmp_path, line, section={"anonymous_may_read": True}) as served:
            async with served.client("") as client:
                await read_time(client.uaclient)
                halt = client.get_node("ns=3;s=VisionSystem.VisionStateMachine")
                arguments = (ua.Variant(0, ua.VariantType.Int32), ua.Variant("", ua.VariantType.String))
                called = halt.call_method("2:Halt", *arguments)
                assert await status_of(called) == "BadUserAccessDenied"
            stranger = served.client_files("stranger", trusted=False)
            assert "connected" not in await failure(served, user="", files=stranger)

    asyncio.run(scenario())


def test_floods_and_giants_end_with_an_error_and_the_others_go_on(
    line: PublishingLine, tmp_path: Path
) -> None:
    """Oversized chunks, arrays without bytes, endless intervals, too many items; a second client never notices."""

    async def scenario() -> None:
        async with opcua_line(tmp_path, line) as served, served.client("viewer") as other:
            for first in (
                b"MSGF" + struct.pack("<I", 2**31),
                b"GET / HTTP/1.1\r\n",
                b"HELF" + struct.pack("<I", 9),
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
                writer.write(first)
                answer = await asyncio.wait_for(reader.read(), 30)
                assert answer.startswith(b"ERRF"), first
                writer.close()
            assert (served.refused("too_large"), served.refused("malformed")) == (1, 2)
            async with served.client() as client:
                assert await status_of(null_array(client)) != "Good"
                await read_time(client.uaclient)
            async with served.client() as client:
                subscriptions = [
                    await client.create_subscription(100, Ignored())
                    for _ in range(limits.MAX_SUBSCRIPTIONS_PER_SESSION)
                ]
                one_more = client.create_subscription(100, Ignored())
                assert await status_of(one_more) == "BadTooManySubscriptions"
                node = client.get_node(SERVER_TIME)
                items = [node] * limits.MAX_NODES
                await subscriptions[0].subscribe_data_change(items)
                one_more = subscriptions[0].subscribe_data_change(node)
                assert await status_of(one_more) == "BadTooManyMonitoredItems"
                too_many = client.uaclient.read(
                    ua.ReadParameters(
                        NodesToRead=[ua.ReadValueId(NodeId=SERVER_TIME, AttributeId=13)]
                        * (limits.MAX_NODES + 1)
                    )
                )
                assert await status_of(too_many) == "BadTooManyOperations"
                await read_time(other.uaclient)
            giant = await served.new_client()
            await giant.connect()
            big = ua.Variant(b"x" * (limits.MAX_MESSAGE_BYTES + 100_000), ua.VariantType.ByteString)
            with pytest.raises((ua.UaError, ConnectionError, TimeoutError)):
                await giant.get_node(SERVER_TIME).write_value(big)
            await until(lambda: served.refused("too_large") == 2)
            giant.disconnect_socket()
            await read_time(other.uaclient)

    asyncio.run(scenario())


class Ignored:
    def datachange_notification(self, *_: Any) -> None:
        """Take it."""


async def null_array(client: Client) -> None:
    """Write an array of two thousand million Null elements in five bytes."""
    protocol = client.uaclient.protocol
    request = ua.WriteRequest()
    request.Parameters.NodesToWrite = [
        ua.WriteValue(
            NodeId=SERVER_TIME,
            AttributeId=ua.AttributeIds.Value,
            Value=ua.DataValue(ua.Variant(MARK, ua.VariantType.String)),
        )
    ]
    encode = ua_binary.struct_to_binary

    def damaged(message: Any) -> bytes:
        encoded: bytes = encode(message)
        written = bytes([12]) + struct.pack("<i", len(MARK)) + MARK.encode()
        assert written in encoded
        return encoded.replace(written, bytes([0x80]) + struct.pack("<i", 2**31 - 1))

    import asyncua.client.ua_client as module

    former, module.struct_to_binary = module.struct_to_binary, damaged
    try:
        sent = asyncio.ensure_future(protocol.send_request(request))
        await asyncio.sleep(0)
    finally:
        module.struct_to_binary = former
    await sent


WRONG = "a wrong one"
MARK = "here stands a text that is replaced"


def test_one_clients_filters_and_deletions_do_not_reach_another(line: PublishingLine, tmp_path: Path) -> None:
    """Select clauses by names of Python attributes, conditions that branch without end, other sessions' ids."""

    async def scenario() -> None:
        async with (
            opcua_line(tmp_path, line) as served,
            served.client("viewer") as good,
            served.client() as bad,
        ):
            await served.ready()
            received: list[Any] = []

            class Events:
                def event_notification(self, event: Any) -> None:
                    received.append(event)

            mine = await good.create_subscription(10, Events())
            await mine.subscribe_events(good.nodes.server, good.get_node("ns=2;i=1024"))
            theirs = await bad.create_subscription(10, Events())
            names = ("__class__", "_fields", "event_type", "to_event_fields", "emitting_node")
            assert (
                await status_of(theirs.subscribe_events(bad.nodes.server, evfilter=selecting(*names)))
                == "Good"
            )
            loop = theirs.subscribe_events(bad.nodes.server, evfilter=branching())
            assert await status_of(loop) == "BadContentFilterInvalid"
            (deleted,) = await bad.uaclient.delete_subscriptions([mine.subscription_id])
            assert deleted.name == "BadSubscriptionIdInvalid"
            parameters = ua.CreateMonitoredItemsParameters(SubscriptionId=mine.subscription_id)
            created = bad.uaclient.create_monitored_items(parameters)
            assert await status_of(created) == "BadSubscriptionIdInvalid"
            stolen = ua.TransferSubscriptionsParameters(SubscriptionIds=[mine.subscription_id])
            results = await bad.uaclient.transfer_subscriptions(stolen)
            assert [each.StatusCode.name for each in results] == ["BadSubscriptionIdInvalid"]
            derived: list[Any] = []

            class Derived:
                def event_notification(self, event: Any) -> None:
                    derived.append(event)

            any_event = await bad.create_subscription(10, Derived())
            await any_event.subscribe_events(bad.nodes.server, evfilter=of_type(ua.ObjectIds.BaseEventType))
            alarms = of_type(ua.ObjectIds.AlarmConditionType)
            await any_event.subscribe_events(bad.nodes.server, evfilter=alarms)
            line.publish(part_id="mine")
            await until(lambda: derived)
            assert [each.Message.Text for each in derived] == ["result 1"]
            await until(lambda: [each for each in received if getattr(each, "PartId", None)])
            wrote = bad.get_node("ns=3;s=Line.Evaluation").write_value(ua.Variant(1, ua.VariantType.Int32))
            assert await status_of(wrote) == "BadUserAccessDenied"
            added = bad.nodes.objects.add_object(3, "mine")
            assert await status_of(added) == "BadServiceUnsupported"

    asyncio.run(scenario())


def selecting(*names: str) -> Any:
    event_filter = ua.EventFilter()
    for name in names:
        clause = ua.SimpleAttributeOperand(TypeDefinitionId=ua.NodeId(ua.ObjectIds.BaseEventType))
        clause.AttributeId = ua.AttributeIds.Value
        clause.BrowsePath = [ua.QualifiedName(name, 0)]
        event_filter.SelectClauses.append(clause)
    return event_filter


def of_type(number: int) -> Any:
    """Events of a type of the base namespace, and of those derived from it."""
    event_filter = selecting("Message")
    element = ua.ContentFilterElement(FilterOperator=ua.FilterOperator.OfType)
    element.FilterOperands = [ua.LiteralOperand(Value=ua.Variant(ua.NodeId(number)))]
    event_filter.WhereClause.Elements.append(element)
    return event_filter


def branching() -> Any:
    """Thirty conditions, each of which asks for the next one twice."""
    event_filter = selecting("Message")
    for index in range(30):
        element = ua.ContentFilterElement(FilterOperator=ua.FilterOperator.And)
        element.FilterOperands = [ua.ElementOperand(Index=index + 1)] * 2
        event_filter.WhereClause.Elements.append(element)
    return event_filter


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (0.0, 10.0),
        (-5.0, 10.0),
        (float("nan"), 10.0),
        (1e-9, 10.0),
        (20.0, 20.0),
        (float("inf"), 3_600_000.0),
    ],
)
def test_publishing_intervals_stay_inside_bounds(asked: float, given: float) -> None:
    """An interval of nothing would keep the server's loop busy for ever."""
    assert publishing_interval_ms(asked) == given

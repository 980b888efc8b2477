"""`cmfm-gateway opcua`: certificates and users from the command line, and the nodeset file of the settings."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from asyncua import Server, ua
from tests.unit.gateway.opcua.official_nodeset import FILE
from tests.unit.gateway.opcua.test_server import call, content, status_of, subscribe
from tests.unit.made.opcua_line import opcua_line, until
from tests.unit.made.publishing_line import PublishingLine
from typer.testing import CliRunner

from cmfm_gateway.app import app
from cmfm_gateway.errors import InputError
from cmfm_gateway.opcua import structures
from cmfm_gateway.opcua.model.import_nodeset import import_nodeset
from cmfm_gateway.opcua.model.kinds import NAMESPACE
from cmfm_gateway.opcua.own_certificate import OwnFiles, make_certificate
from cmfm_gateway.opcua.trust_list import TrustList, thumbprint
from cmfm_gateway.opcua.users import read_users


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text('[opcua]\nenabled = true\napplication_uri = "urn:plant:gateway7"\n')
    return path


def run(config: Path, *arguments: str, typed: str = "") -> str:
    command = ["opcua", *arguments[:-1], arguments[-1], "--config", str(config)]
    result = CliRunner().invoke(app, command, input=typed)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_the_certificate_is_made_and_shown(config: Path) -> None:
    """Once; a new one on request."""
    first = run(config, "certificate")
    assert "urn:plant:gateway7" in first
    assert run(config, "certificate") == first
    assert run(config, "certificate", "--new") != first


def test_a_refused_client_is_listed_and_trusted(config: Path, tmp_path: Path) -> None:
    """By the thumbprint that the list shows; and taken back."""
    assert run(config, "rejected") == "none\n"
    client = make_certificate(OwnFiles(tmp_path / "c.der", tmp_path / "c.pem"), "urn:plc", ())
    TrustList(tmp_path / "opcua").keep_rejected(client)
    listed = run(config, "rejected")
    assert thumbprint(client) in listed
    assert "trusted: " in run(config, "trust", listed.split()[0])
    assert run(config, "rejected") == "none\n"
    assert thumbprint(client) in run(config, "trusted")
    run(config, "distrust", thumbprint(client))
    assert run(config, "trusted") == "none\n"
    with pytest.raises(InputError, match="the folder is empty"):
        run(config, "distrust", thumbprint(client))


def test_users_are_added_listed_and_removed(config: Path, tmp_path: Path) -> None:
    """The password is asked for twice, or read from stdin; it is nowhere in the output."""
    typed = "correct horse\ncorrect horse\n"
    output = run(config, "user", "add", "--role", "control", "plc", typed=typed)
    assert "correct" not in output
    run(config, "user", "add", "--password-stdin", "viewer", typed="battery staple\n")
    assert run(config, "user", "list") == "plc  control\nviewer  view\n"
    assert read_users(tmp_path / "opcua-users.txt")["plc"].has_password("correct horse")
    run(config, "user", "remove", "plc")
    assert run(config, "user", "list") == "viewer  view\n"
    with pytest.raises(InputError, match="viewer"):
        run(config, "user", "remove", "plc")
    with pytest.raises(InputError, match="view or control"):
        run(config, "user", "add", "--role", "root", "x")


@pytest.fixture
def line() -> Iterator[PublishingLine]:
    with PublishingLine() as made:
        yield made


@pytest.mark.skipif(not FILE.is_file(), reason=f"no {FILE.name} beside the checkout")
def test_the_published_nodeset_can_be_imported_in_place_of_the_tables(
    line: PublishingLine, tmp_path: Path
) -> None:
    """The same objects, events and methods; types that the tables leave out are there; nothing can be written."""

    async def scenario() -> None:
        section = {"nodeset": str(FILE)}
        async with opcua_line(tmp_path, line, section=section) as served, served.client() as client:
            await served.ready()
            safety = await client.get_node(ua.NodeId(1009, 2)).read_browse_name()
            assert safety.Name == "SafetyStateManagementType"
            events = await subscribe(client, 1024)
            line.publish(part_id="p")
            await until(lambda: events.all)
            assert content(events.all[0]["ResultContent"])["EvaluationText"] == "OK"
            now = ua.Variant(0, ua.VariantType.Int32)
            found = await call(
                client, "ResultManagement.GetResultById", structures.ResultIdDataType("1"), now
            )
            assert found[1].PartId.Id == "p"
            definition = await client.get_node(ua.NodeId(3002, 2)).read_data_type_definition()
            assert [field.Name for field in definition.Fields][:2] == ["Id", "Version"]
            access = await client.get_node(ua.NodeId(6049, 2)).read_attribute(ua.AttributeIds.AccessLevel)
            assert access.Value.Value == 1
            state = await status_of(client, "VisionSystem.VisionStateMachine.CurrentState")
            assert state[1].Text == "Operational"

    asyncio.run(scenario())


@pytest.mark.parametrize("text", ["", "<a/>", "hello"])
def test_a_file_that_is_no_nodeset_is_named(tmp_path: Path, text: str) -> None:
    """The start fails and says which key."""
    path = tmp_path / "nodeset.xml"
    path.write_text(text)

    async def scenario() -> None:
        server = Server()
        await server.init()
        await import_nodeset(server, path, await server.register_namespace(NAMESPACE))

    with pytest.raises(InputError, match=r"opcua\.nodeset: .*nodeset\.xml"):
        asyncio.run(scenario())

"""The OPC UA server as a client sees it: verdicts, their quality, jobs, recipes, and results by number."""

import asyncio
import math
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from tests.unit.made.opcua_line import opcua_line, until
from tests.unit.made.publishing_line import PublishingLine
from tests.unit.made.running_gateway import gateway_settings

from cmfm_gateway.errors import StartupError
from cmfm_gateway.gateway import Gateway
from cmfm_gateway.opcua import structures
from cmfm_gateway.opcua.adapter import OpcUaAdapter
from cmfm_gateway.opcua.errors import ErrorCode
from cmfm_gateway.opcua.serve import OWNER_PERIOD_S
from cmfm_protocol.wire.control import AnnounceRequest, DrainRequest, LoadRecipeRequest
from cmfm_protocol.wire.result import Region
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_service.line_owner import LineOwner, read_owner

COMPANION, OWN = 2, 3

REGION = Region((1, 2, 3, 4), 4, None, 0.9, (1, 2), "3d")


@pytest.fixture
def line() -> Iterator[PublishingLine]:
    with PublishingLine() as made:
        yield made


class Events:
    """Events of a client, as dictionaries of plain values."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def event_notification(self, event: Any) -> None:
        self.all.append({name: value.Value for name, value in event.get_event_props_as_fields_dict().items()})

    def of(self, type_id: int) -> list[dict[str, Any]]:
        return [each for each in self.all if each["EventType"] == ua.NodeId(type_id, COMPANION)]


async def subscribe(client: Client, *type_ids: int) -> Events:
    events = Events()
    subscription = await client.create_subscription(10, events)
    for type_id in type_ids:
        await subscription.subscribe_events(
            client.nodes.server, client.get_node(ua.NodeId(type_id, COMPANION))
        )
    return events


def content(result_content: list[Any]) -> dict[str, Any]:
    return {pair.Value.Key.Name: pair.Value.Value.Value for pair in result_content}


def node(client: Client, path: str) -> Any:
    return client.get_node(ua.NodeId(path, OWN))


async def call(client: Client, path: str, *arguments: Any) -> Any:
    parent = node(client, f"VisionSystem.{path.rpartition('.')[0]}")
    return await parent.call_method(node(client, f"VisionSystem.{path}"), *arguments)


async def status_of(client: Client, path: str) -> tuple[str, Any]:
    value = await node(client, path).read_data_value(raise_on_bad_status=False)
    return value.StatusCode.name, value.Value.Value


CAUSE = (ua.Variant(0, ua.VariantType.Int32), ua.Variant("test", ua.VariantType.String))
NOW = ua.Variant(0, ua.VariantType.Int32)


def uint(value: int) -> Any:
    return ua.Variant(value, ua.VariantType.UInt32)


def test_each_verdict_is_announced_with_its_content(line: PublishingLine, tmp_path: Path) -> None:
    """OK, NotOK, NotDecidable and Undefined; score, threshold, part, regions; state and times."""

    async def scenario() -> None:
        async with opcua_line(tmp_path, line) as served, served.client("viewer") as client:
            await served.ready()
            events = await subscribe(client, 1024)
            line.publish(part_id="good", simulated=False)
            line.publish(Verdict.FAIL, part_id="bad", regions=(REGION,))
            line.publish(Verdict.UNDECIDED, part_id="odd")
            line.publish(Verdict.FAULT, part_id="gone", reason=Reason.LOST)
            await until(lambda: len(events.all) == 4)
            assert [each["ResultId"].Id for each in events.all] == ["1", "2", "3", "4"]
            assert [each["PartId"].Id for each in events.all] == ["good", "bad", "odd", "gone"]
            contents = [content(each["ResultContent"]) for each in events.all]
            texts = [each["EvaluationText"] for each in contents]
            assert texts == ["OK", "NotOK", "NotDecidable", "Undefined"]
            assert [each["Evaluation"] for each in contents] == [1, 2, 3, 0]
            assert [each["ResultState"] for each in events.all] == [1, 1, 1, 4]
            assert [each["IsSimulated"] for each in events.all] == [False, True, True, True]
            good, bad = contents[:2]
            assert (good["Score"] < good["Threshold"]) is good["Valid"] is True
            assert (bad["RegionBoxes"], bad["RegionPeaks"]) == ([1, 2, 3, 4], [0.9])
            assert math.isnan(bad["RegionAreasMm2"][0])
            assert bad["RegionModalities"] == ["3d"]
            times = events.all[0]["ProcessingTimes"]
            assert times.EndTime == events.all[0]["CreationTime"] >= times.StartTime
            await until_status(client, "Line.PartId", ("UncertainLastUsableValue", "gone"), ("Good", "gone"))

    asyncio.run(scenario())


async def until_status(client: Client, path: str, *expected: tuple[str, Any]) -> None:
    for _ in range(3000):
        if await status_of(client, path) in expected:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{path} is {await status_of(client, path)}")


def test_silence_is_never_good(line: PublishingLine, tmp_path: Path) -> None:
    """Without the worker's state, values are bad, the system is in Error, and results say Undefined."""

    async def scenario() -> None:
        async with (
            opcua_line(tmp_path, line, silence_s=1.0) as served,
            served.client("viewer") as client,
        ):
            await served.ready()
            events = await subscribe(client, 1018, 1019, 1020)
            line.publish(part_id="good")
            await until_status(client, "Line.Evaluation", ("Good", 1))
            assert (await status_of(client, "VisionSystem.ResultManagement.Results.Newest"))[0] == "Good"
            await until(lambda: not served.gateway.view.valid)
            await until_status(client, "Line.Evaluation", ("BadNoCommunication", None))
            newest = "VisionSystem.ResultManagement.Results.Newest"
            for path in (newest, f"{newest}.ResultState", "Line.VerdictCode", "Line.PartId"):
                assert await status_of(client, path) == ("BadNoCommunication", None)
            assert await status_of(client, "Line.Valid") == ("Good", False)
            assert await status_of(client, "Line.Cause") == ("Good", "silence")
            machine = "VisionSystem.VisionStateMachine"
            state = (await status_of(client, f"{machine}.CurrentState"))[1]
            assert state.Text == "Error"
            inner = await status_of(client, f"{machine}.AutomaticModeStateMachine.CurrentState")
            assert inner == ("BadStateNotActive", None)
            assert (await status_of(client, "VisionSystem.SystemState"))[1].State == 5
            await until(lambda: events.of(1019))
            assert "silence" in events.of(1019)[0]["Message"].Text
            _, shown, error = await call(
                client, "ResultManagement.GetResultById", structures.ResultIdDataType("1"), NOW
            )
            assert error == 0
            recorded = content(shown.ResultContent)
            assert (recorded["Evaluation"], recorded["Valid"], recorded["Verdict"]) == (0, False, "PASS")
            line.heartbeat()
            await until(lambda: events.of(1020))
            await until_status(client, "Line.Evaluation", ("Good", 1))

    asyncio.run(scenario())


def test_a_client_that_was_away_reads_what_it_missed_by_number(line: PublishingLine, tmp_path: Path) -> None:
    """In order, each once, in pages; filters take what they name; ids that are not there are an error."""

    async def scenario() -> None:
        async with opcua_line(tmp_path, line) as served, served.client("viewer") as client:
            await served.ready()
            for number in range(250):
                line.publish(Verdict.FAIL if number % 50 == 0 else Verdict.PASS)
            await until(lambda: served.gateway.store.newest() == 250)
            numbers: list[int] = []
            complete = False
            while not complete:
                complete, count, handle, page, error = await listed(
                    client, start=numbers[-1] if numbers else 0
                )
                numbers += [int(each.ResultId.Id) for each in page]
                assert (count, error) == (len(page), 0)
                assert await call(client, "ResultManagement.ReleaseResultHandle", uint(handle)) == 0
                assert await call(client, "ResultManagement.ReleaseResultHandle", uint(handle)) == -4
            assert numbers == list(range(1, 251))
            _, _, _, page, _ = await listed(client, part="part-000007")
            assert [each.ResultId.Id for each in page] == ["7"]
            beyond = (await listed(client, part="part-000101"))[3]  # the first of the search's second step
            assert [each.ResultId.Id for each in beyond] == ["101"]
            assert [each.ResultId.Id for each in (await listed(client, start=100, most=3))[3]] == [
                "101",
                "102",
                "103",
            ]
            assert (await listed(client, job="job-of-nobody"))[:2] == [True, 0]
            job = page[0].JobId.Id
            assert (await listed(client, job=job, start=249))[1] == 1
            components = await call(
                client, "ResultManagement.GetResultComponentsById", structures.ResultIdDataType("51"), NOW
            )
            assert components[4] == 1
            assert content(components[15])["EvaluationText"] == "NotOK"
            for wrong in ("251", "x", "", "-1", "9" * 40):
                identifier = structures.ResultIdDataType(wrong)
                found = await call(client, "ResultManagement.GetResultById", identifier, NOW)
                assert found[2] == ErrorCode.UNKNOWN

    asyncio.run(scenario())


async def listed(client: Client, *, start: int = 0, most: int = 0, part: str = "", job: str = "") -> Any:
    return await call(
        client,
        "ResultManagement.GetResultListFiltered",
        ua.Variant(0, ua.VariantType.Int32),
        structures.MeasIdDataType(),
        structures.PartIdDataType(Id=part),
        structures.RecipeIdExternalDataType(),
        structures.RecipeIdInternalDataType(),
        structures.ConfigurationIdDataType(),
        structures.ConfigurationIdDataType(),
        structures.ProductIdDataType(),
        structures.JobIdDataType(job),
        uint(most),
        uint(start),
        NOW,
    )


def start_arguments(*, meas: str = "", part: str = "", recipe: str = "") -> list[Any]:
    return [
        structures.MeasIdDataType(Id=meas),
        structures.PartIdDataType(Id=part),
        structures.RecipeIdExternalDataType(Id=recipe),
        structures.ProductIdDataType(),
        ua.Variant([], ua.VariantType.Variant, is_array=True),
    ]


def test_jobs_are_started_and_stopped_by_users_who_may(line: PublishingLine, tmp_path: Path) -> None:
    """Results outside a job are not announced and can be read; a viewer may not control; states say what is."""

    async def scenario() -> None:
        jobs = {"automatic": False, "single_job_camera": "camera1"}
        async with opcua_line(tmp_path, line, section=jobs) as served, served.client() as client:
            await served.ready()
            events = await subscribe(client, 1013, 1018, 1023, 1024)
            inner = "VisionStateMachine.AutomaticModeStateMachine"
            async with served.client("viewer", files=served.client_files("viewer")) as viewer:
                with pytest.raises(ua.UaStatusCodeError, match="BadUserAccessDenied"):
                    await call(viewer, f"{inner}.StartContinuous", *start_arguments())
            assert served.refused("not_allowed") == 1
            line.publish(part_id="before")
            await until(lambda: served.gateway.store.newest() == 1)
            job, error = await call(client, f"{inner}.StartContinuous", *start_arguments(meas="m1"))
            assert (bool(job.Id), error) == (True, 0)
            line.publish(part_id="in the job")
            await until(lambda: events.of(1024))
            announced = events.of(1024)[0]
            assert (announced["PartId"].Id, announced["JobId"].Id) == ("in the job", job.Id)
            assert announced["MeasId"].Id == "m1"
            assert events.of(1013)[0]["JobId"].Id == job.Id
            assert await call(client, f"{inner}.Stop", *CAUSE) == 0
            assert await call(client, f"{inner}.Stop", *CAUSE) == ErrorCode.NOT_NOW
            await until(lambda: events.of(1023))
            for wrong in (start_arguments(recipe="nobody knows"), [*start_arguments()[:4], parameters(1)]):
                _, error = await call(client, f"{inner}.StartSingleJob", *wrong)
                assert error in {ErrorCode.UNKNOWN, ErrorCode.BAD_ARGUMENT}
            _, error = await call(
                client, f"{inner}.StartSingleJob", *start_arguments(part="p9", recipe="bagel")
            )
            assert error == 0
            asked = [each for each in line.requests if isinstance(each, AnnounceRequest)]
            assert [(each.camera, each.trigger.part_id) for each in asked] == [("camera1", "p9")]
            line.publish(part_id="p9")
            await until(lambda: len(events.of(1024)) == 2)
            await until(lambda: len(events.of(1023)) == 2)
            assert [each["ToState"].Text for each in events.of(1018)][-1] == "Ready"
            numbers = [each.ResultId.Id for each in (await listed(client))[3]]
            assert numbers == ["1", "2", "3"]

    asyncio.run(scenario())


def parameters(*values: int) -> Any:
    return ua.Variant([ua.Variant(value) for value in values], ua.VariantType.Variant, is_array=True)


def test_halt_drains_if_the_settings_say_so_and_reset_leaves_it(line: PublishingLine, tmp_path: Path) -> None:
    """In Halted nothing is announced; a worker that refuses is an error, and nothing changes."""

    async def scenario() -> None:
        async with (
            opcua_line(tmp_path, line, section={"halt_drains": True}) as served,
            served.client() as client,
        ):
            await served.ready()
            line.refuse = "not now"
            assert await call(client, "VisionStateMachine.Halt", *CAUSE) == ErrorCode.REFUSED
            line.refuse = ""
            assert await call(client, "VisionStateMachine.Halt", *CAUSE) == 0
            assert [each for each in line.requests if isinstance(each, DrainRequest)]
            state = await status_of(client, "VisionSystem.VisionStateMachine.CurrentState")
            assert state[1].Text == "Halted"
            events = await subscribe(client, 1024)
            line.publish()
            await until(lambda: served.gateway.store.newest() == 1)
            assert await call(client, "VisionStateMachine.Reset", *CAUSE) == 0
            served.line.heartbeat()
            line.publish(part_id="after")
            await until(lambda: events.all)
            assert [each["PartId"].Id for each in events.all] == ["after"]

    asyncio.run(scenario())


def test_recipes_are_those_of_the_worker(line: PublishingLine, tmp_path: Path) -> None:
    """Preparing loads at the worker; unpreparing takes a recipe from jobs; nodes follow the worker."""

    async def scenario() -> None:
        async with opcua_line(tmp_path, line) as served, served.client() as client:
            await served.ready()
            events = await subscribe(client, 1022)
            assert await recipes(client) == ["bagel", "praline"]
            name = structures.RecipeIdExternalDataType(Id="cookie")
            nothing = structures.RecipeIdInternalDataType()
            shown, completed, error = await call(client, "RecipeManagement.PrepareRecipe", name, nothing)
            assert (shown.Id, completed, error) == ("cookie", True, 0)
            assert [each.recipe for each in line.requests if isinstance(each, LoadRecipeRequest)] == [
                "cookie"
            ]
            await until(lambda: events.all)
            assert events.all[0]["ExternalId"].Id == "cookie"
            line.recipes = ("bagel", "cookie")
            line.heartbeat()
            await until_recipes(client, ["bagel", "cookie"])
            path = "VisionSystem.RecipeManagement.Recipes.cookie"
            assert await node(client, f"{path}.IsPrepared").read_value() is True
            with pytest.raises(ua.UaStatusCodeError):
                await node(client, "VisionSystem.RecipeManagement.Recipes.praline").read_browse_name()
            shown, error = await call(client, "RecipeManagement.UnprepareRecipe", name, nothing)
            assert (shown.Id, error) == ("cookie", 0)
            assert await node(client, f"{path}.IsPrepared").read_value() is False
            assert await recipes(client, prepared=1) == ["bagel"]
            _, error = await call(client, "RecipeManagement.UnprepareRecipe", name, nothing)
            assert error == ErrorCode.UNKNOWN
            last = structures.RecipeIdExternalDataType(Id="bagel")
            _, error = await call(client, "RecipeManagement.UnprepareRecipe", last, nothing)
            assert error == ErrorCode.NOT_NOW
            assert await call(client, "RecipeManagement.Recipes.cookie.Prepare") == [True, 0]
            line.refuse = "no such recipe"
            assert (await call(client, "RecipeManagement.PrepareRecipe", name, nothing))[
                2
            ] == ErrorCode.REFUSED

    asyncio.run(scenario())


async def recipes(client: Client, prepared: int = 2) -> list[str]:
    _, _, _, found, _ = await call(
        client,
        "RecipeManagement.GetRecipeListFiltered",
        structures.RecipeIdExternalDataType(),
        structures.ProductIdDataType(),
        ua.Variant(prepared, ua.VariantType.Int32),
        uint(0),
        uint(0),
        NOW,
    )
    return [each.Id for each in found]


async def until_recipes(client: Client, expected: list[str]) -> None:
    for _ in range(3000):
        if await recipes(client) == expected:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(await recipes(client))


def test_the_configuration_is_the_settings(line: PublishingLine, tmp_path: Path) -> None:
    """There is one; it can be read, and no other be activated."""

    async def scenario() -> None:
        async with opcua_line(tmp_path, line) as served, served.client() as client:
            management = "ConfigurationManagement"
            active = await node(client, f"VisionSystem.{management}.ActiveConfiguration").read_value()
            _, _, _, found, _ = await call(
                client, f"{management}.GetConfigurationList", uint(0), uint(0), NOW
            )
            assert [each.InternalId for each in found] == [active.InternalId]
            assert await call(client, f"{management}.ActivateConfiguration", active.InternalId) == 0
            other = structures.ConfigurationIdDataType(Id="other")
            assert await call(client, f"{management}.ActivateConfiguration", other) == ErrorCode.UNKNOWN
            assert (await call(client, f"{management}.GetConfigurationById", other, NOW))[
                2
            ] == ErrorCode.UNKNOWN

    asyncio.run(scenario())


def test_results_keep_number_and_job_over_a_restart(line: PublishingLine, tmp_path: Path) -> None:
    """The next gateway goes on after the last announced result, and shows former ones as not to be acted on."""

    async def run(client_of: str) -> None:
        async with opcua_line(tmp_path, line) as served, served.client("viewer") as client:
            await served.ready()
            events = await subscribe(client, 1024)
            line.publish(part_id=client_of)
            await until(lambda: events.all)
            assert [each["PartId"].Id for each in events.all] == [client_of]
            page = (await listed(client))[3]
            jobs = [each.JobId.Id for each in page]
            assert len(set(jobs)) == len(jobs)
            assert all(jobs)

    asyncio.run(run("first"))
    line.restart("boot2")
    asyncio.run(run("second"))


def test_a_port_that_is_taken_ends_the_start(line: PublishingLine, tmp_path: Path) -> None:
    """The gateway exits with 3; the message names address and port."""

    async def started(port: int) -> None:
        settings = gateway_settings(
            line,
            tmp_path,
            opcua={"port": port, "certificates": str(tmp_path / "opcua"), "jobs": str(tmp_path / "jobs")},
        )
        await Gateway(settings).run([OpcUaAdapter(settings.opcua)])

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=str(port)):
            asyncio.run(started(port))


def test_a_client_that_may_control_owns_the_line(line: PublishingLine, tmp_path: Path) -> None:
    """The page is told so while it is logged in and the system is not Halted; a client that reads owns nothing."""
    owner = tmp_path / "owner.json"

    async def says(expected: LineOwner) -> None:
        await until(lambda: read_owner(owner) is expected)

    async def scenario() -> None:
        async with opcua_line(tmp_path, line, gateway_section={"owner": str(owner)}) as made:
            await made.ready()
            async with made.client("viewer"):
                await asyncio.sleep(2 * OWNER_PERIOD_S)
                await says(LineOwner.NOBODY)
            async with made.client("plc") as plc:
                await says(LineOwner.PLC)
                await call(plc, "VisionStateMachine.Halt", *CAUSE)
                await says(LineOwner.NOBODY)
                await call(plc, "VisionStateMachine.Reset", *CAUSE)
                await says(LineOwner.PLC)
            await says(LineOwner.NOBODY)

    asyncio.run(scenario())

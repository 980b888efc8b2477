"""Clients of other makers read the OPC UA server: node-opcua, and the command line tools of asyncua as processes."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.unit.made.opcua_line import PASSWORDS, OpcUaLine, opcua_line, until
from tests.unit.made.publishing_line import PublishingLine

from cmfm_gateway.opcua.trust_list import thumbprint
from cmfm_protocol.wire.result import Region
from cmfm_protocol.wire.verdict import Verdict

FOREIGN: Final = Path(__file__).parents[3] / "foreign"
TOOLS: Final = Path(sys.executable).parent
LIMIT_S: Final = 120.0


@pytest.fixture
def line() -> Iterator[PublishingLine]:
    with PublishingLine() as made:
        yield made


@pytest.fixture
def node_opcua() -> Path:
    """The script; skips where `npm ci` was not run in tests/foreign."""
    if not (FOREIGN / "node_modules" / "node-opcua-client").is_dir():
        assert os.environ.get("CMFM_FOREIGN_CLIENTS") != "required", "node-opcua is not installed"
        pytest.skip("node-opcua is not installed; run npm ci in tests/foreign")
    return FOREIGN / "opcua_client.mjs"


async def start(*command: str | Path, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *map(str, command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )


async def output(process: asyncio.subprocess.Process) -> str:
    out, errors = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert process.returncode == 0, (out.decode()[-2000:], errors.decode()[-2000:])
    return out.decode()


async def node(
    script: Path, served: OpcUaLine, *action: str, **environment: str
) -> asyncio.subprocess.Process:
    files = served.client_files("node")
    pki = served.folder / "node-pki"
    return await start(
        "node",
        script,
        served.url,
        files.certificate,
        files.key,
        pki,
        "plc",
        PASSWORDS["plc"],
        *action,
        **environment,
    )


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(each) for each in text.splitlines() if each.startswith("{")]


def test_node_opcua_sees_each_verdict_as_an_event(
    line: PublishingLine, tmp_path: Path, node_opcua: Path
) -> None:
    """Each once and in order, decoded by the types that the server describes, over both policies."""

    async def scenario(policy: str) -> None:
        async with opcua_line(tmp_path, line) as served:
            await served.ready()
            process = await node(node_opcua, served, "events", "40", POLICY=policy)
            assert process.stdout is not None
            while b"subscribed" not in (first := await asyncio.wait_for(process.stdout.readline(), LIMIT_S)):
                assert first, "it ended"
            sent = [
                line.publish(
                    Verdict.FAIL if number % 3 == 0 else Verdict.PASS,
                    regions=(Region((1, 2, 3, 4), 4, 1.5, 0.9, (1, 2), "2d"),) if number % 3 == 0 else (),
                )
                for number in range(40)
            ]
            seen = lines(await output(process))
        assert [each["PartId"]["id"] for each in seen] == [each.part_id for each in sent]
        numbers = [int(each["ResultId"]["id"]) for each in seen]
        assert numbers == list(range(numbers[0], numbers[0] + 40))
        for mine, theirs in zip(sent, (each["ResultContent"] for each in seen), strict=True):
            assert theirs["EvaluationText"] == ("OK" if mine.verdict is Verdict.PASS else "NotOK")
            assert (theirs["Score"], theirs["Threshold"]) == (mine.score, mine.threshold)
            assert theirs["RegionBoxes"] == [px for region in mine.regions for px in region.bbox]
            assert theirs["RegionAreasMm2"] == [region.area_mm2 for region in mine.regions]

    for policy in ("Basic256Sha256", "Aes256_Sha256_RsaPss"):
        asyncio.run(scenario(policy))
        line.restart(f"boot after {policy}")


def test_node_opcua_reads_what_it_missed_and_controls_jobs(
    line: PublishingLine, tmp_path: Path, node_opcua: Path
) -> None:
    """GetResultListFiltered page by page, Stop and StartContinuous, and a tree without a null state."""

    async def scenario() -> None:
        async with opcua_line(tmp_path, line) as served:
            await served.ready()
            for _ in range(120):
                line.publish()
            await until(lambda: served.gateway.store.newest() == 120)
            since = lines(await output(await node(node_opcua, served, "since", "20")))
            assert [each["number"] for each in since] == list(range(21, 121))
            assert {each["content"]["Verdict"] for each in since} == {"PASS"}
            states = [each["state"] for each in lines(await output(await node(node_opcua, served, "jobs")))]
            assert states == ["ContinuousExecution", "Ready", "ContinuousExecution"]
            tree = {
                each["path"]: each for each in lines(await output(await node(node_opcua, served, "browse")))
            }
            assert tree["/ResultManagement/Results/Newest"]["value"]["resultId"] == {"id": "120"}
            assert tree["/RecipeManagement/Recipes/bagel/IsPrepared"]["value"] is True
            assert tree["/VisionStateMachine/CurrentState"]["value"] == {"text": "Operational"}
            variables = [each for each in tree.values() if each["nodeClass"] == "Variable"]
            assert {each["status"] for each in variables} == {"Good"}
            assert len(variables) > 80

    asyncio.run(scenario())


def test_node_opcua_without_a_trusted_certificate_or_password_gets_no_session(
    line: PublishingLine, tmp_path: Path, node_opcua: Path
) -> None:
    """An error, not silence; the certificate can be accepted afterwards, without a restart."""

    async def scenario() -> None:
        async with opcua_line(tmp_path, line) as served:
            await served.ready()
            files = served.client_files("stranger", trusted=False)
            command = ("node", node_opcua, served.url, files.certificate, files.key, tmp_path / "pki", "plc")
            refused = await start(*command, PASSWORDS["plc"], "jobs")
            out, _ = await asyncio.wait_for(refused.communicate(), LIMIT_S)
            assert (refused.returncode, "error" in lines(out.decode())[-1]) == (1, True)
            assert served.refused("untrusted_certificate") >= 1
            (found,) = served.trust_list.rejected()
            served.trust_list.trust(thumbprint(found))
            wrong = await start(*command, "wrong password", "jobs")
            out, _ = await asyncio.wait_for(wrong.communicate(), LIMIT_S)
            assert "BadUserAccessDenied" in lines(out.decode())[-1]["error"]
            assert served.refused("wrong_password") == 1
            right = lines(await output(await start(*command, PASSWORDS["plc"], "jobs")))
            assert right[0] == {"state": "ContinuousExecution"}

    asyncio.run(scenario())


def test_the_librarys_own_tools_read_list_and_subscribe(line: PublishingLine, tmp_path: Path) -> None:
    """`uaread`, `uals` and `uasubscribe`, as an integrator would type them."""

    async def scenario() -> None:
        async with opcua_line(tmp_path, line) as served:
            await served.ready()
            files = served.client_files("tool", uri="urn:example.org:FreeOpcUa:opcua-asyncio")
            security = f"Basic256Sha256,SignAndEncrypt,{files.certificate},{files.key}"
            common = [
                "-u",
                served.url,
                "--security",
                security,
                "--user",
                "viewer",
                "--password",
                PASSWORDS["viewer"],
            ]
            line.publish(part_id="tray 7")
            await until(lambda: served.gateway.store.newest() == 1)
            read = await output(await start(TOOLS / "uaread", *common, "-n", "ns=3;s=Line.PartId"))
            assert "tray 7" in read
            listed = await output(
                await start(TOOLS / "uals", *common, "-n", "ns=3;s=VisionSystem", "-d", "1")
            )
            assert re.search(r"ResultManagement.*", listed)
            assert "VisionStateMachine" in listed
            command: tuple[str | Path, ...] = (TOOLS / "uasubscribe", *common, "-n", "ns=3;s=Line.PartId")
            subscribed = await start(*command, PYTHONUNBUFFERED="1")
            assert subscribed.stdout is not None
            seen = ""
            while "tray 8" not in seen:
                seen += (await asyncio.wait_for(subscribed.stdout.readline(), LIMIT_S)).decode()
                assert seen, "it ended"
                if "tray 7" in seen and served.gateway.store.newest() == 1:
                    line.publish(part_id="tray 8")
            subscribed.terminate()
            await subscribed.wait()

    asyncio.run(scenario())

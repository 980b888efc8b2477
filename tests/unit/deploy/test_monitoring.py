"""Dashboard and alert rules name metrics that the programs serve, with their labels; the files are valid."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.made.page import page_client
from tests.unit.made.publishing_line import PublishingLine
from tests.unit.made.running_gateway import gateway_settings, running, until
from tests.unit.made.service import Outside, line_settings, serve

from cmfm_cameras.metrics import CameraCollector
from cmfm_cameras.publisher import Counts
from cmfm_gateway.metrics import GatewayCollector
from cmfm_hmi.metrics import PageCollector
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_sim.ports import free_ports

DEPLOY = Path(__file__).parents[3] / "deploy"
RULES, DASHBOARD = DEPLOY / "prometheus" / "rules.yaml", DEPLOY / "grafana" / "cmfm.json"
RULE_TESTS = Path(__file__).with_name("rules_test.yaml")

Scraped = dict[str, dict[str, set[str]]]
"""Metric → label → values, of the samples of a scrape. A metric without a sample has no labels."""

SELECTOR = re.compile(r"\b(cmfm_\w+)\s*(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
ADDED_BY_PROMETHEUS = {"instance", "job"}


def read_scrape(text: str) -> Scraped:
    """Read a scrape, also the names of metrics that have no sample yet."""
    found: Scraped = {}
    for line in text.splitlines():
        if line.startswith("# TYPE"):
            _, _, name, kind = line.split()
            for end in ("_bucket", "_count", "_sum") if kind == "histogram" else ("",):
                found[name + end] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def scrape_worker(folder: Path) -> Scraped:
    """Run a line for three parts and scrape it."""
    (port,) = free_ports(1)
    settings = line_settings(folder)
    settings = settings.model_copy(
        update={"metrics": settings.metrics.model_copy(update={"host": "127.0.0.1", "port": port})}
    )
    texts: list[str] = []

    def act(outside: Outside) -> None:
        outside.send(3)
        outside.listen(3)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as reply:
            texts.append(reply.read().decode())
        outside.signal()

    outside = Outside(settings, act)
    serve(settings)
    outside.end()
    return read_scrape(texts[0])


async def scrape_gateway(folder: Path) -> Scraped:
    """Run a gateway until it has a result and a consumer, and scrape it."""
    with PublishingLine() as line:
        async with running(gateway_settings(line, folder), []) as gateway:
            line.wait_for_subscriber()
            line.publish()
            line.heartbeat()
            await until(lambda: gateway.store.newest() == 1, limit_s=60)
            gateway.store.begin("plc", 1)
            gateway.store.cursor("plc")
            gateway.count("modbus", "late_ack")
            return scrape(GatewayCollector(gateway))


def scrape(collector: Any) -> Scraped:
    """Scrape one collector."""
    registry = CollectorRegistry()
    registry.register(collector)
    return read_scrape(generate_latest(registry).decode())


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Scraped:
    """The metrics that worker, gateway, page and camera program serve."""
    worker = scrape_worker(tmp_path_factory.mktemp("worker"))
    gateway = asyncio.run(scrape_gateway(tmp_path_factory.mktemp("gateway")))
    with page_client(tmp_path_factory.mktemp("page")) as client:
        client.log_in("view", "a wrong password")
        page = scrape(PageCollector(client.site))
    return worker | gateway | page | scrape(CameraCollector(Counts(is_open=True, last_frame_s=0.0)))


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    """Yield each expression of both files with where it stands."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def test_every_metric_and_label_is_served(scraped: Scraped) -> None:
    """A misspelt name would show an empty panel, or an alert that never comes."""
    known = {
        "verdict": set(map(str, Verdict)),
        "reason": set(map(str, Reason)),
        "what": {"shed", "page_failed"},
    }
    wrong, seen = [], set()
    for where, expression in expressions():
        for name, matchers in SELECTOR.findall(expression):
            seen.add(name)
            if name not in scraped:
                wrong.append(f"{where}: {name} is not served")
                continue
            for label, operator, value in MATCHER.findall(matchers):
                values = scraped[name].get(label, known.get(label, set()))
                if label in ADDED_BY_PROMETHEUS:
                    continue
                if not values:
                    wrong.append(f"{where}: {name} has no label {label}")
                elif "~" not in operator and value not in values | known.get(label, set()):
                    wrong.append(f"{where}: {name} has no {label}={value}")
                elif "~" in operator and not any(re.fullmatch(value, each) for each in values):
                    wrong.append(f"{where}: no {label} of {name} matches {value}")
    assert wrong == []
    assert len(seen) > 30


def test_labels_in_words_and_sums_are_served(scraped: Scraped) -> None:
    """`by (…)`, legends and summaries name labels that some metric has."""
    every = ADDED_BY_PROMETHEUS | {label for labels in scraped.values() for label in labels}
    every |= {"recipe", "measure"}  # of drift, which a recipe without nominal figures does not have
    named = {"recipe", "measure"}
    for _, expression in expressions():
        for labels in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
            named |= {label.strip() for label in labels.split(",")}
    for text in (RULES.read_text(), DASHBOARD.read_text()):
        named |= set(re.findall(r"\{\{\s*\$labels\.(\w+)\s*\}\}", text))
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            named |= set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    assert named - every == set()


def test_what_an_alert_says_and_where_it_sends_people() -> None:
    """Each has a severity, a sentence and a chapter of the runbook that exists."""
    headings = re.findall(r"^## (.+)$", (DEPLOY / "RUNBOOK.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert len({rule["alert"] for rule in rules()}) == len(rules()) > 10
    for rule in rules():
        assert rule["labels"]["severity"] in ("stop", "look"), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (path, anchor in anchors) == ("deploy/RUNBOOK.md", True), rule["alert"]


def test_dashboard_can_be_imported() -> None:
    """Unique panels, none over another, each with its data source and with what it shows."""
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert {variable["name"] for variable in dashboard["templating"]["list"]} == {"datasource", "instance"}


@pytest.mark.parametrize("command", [("check", "rules", RULES), ("test", "rules", RULE_TESTS)])
def test_prometheus_accepts_the_rules(command: tuple[object, ...]) -> None:
    """Prometheus's own tool reads them and plays them: which alert comes when, and on a good day none."""
    promtool = shutil.which("promtool")
    if promtool is None:
        assert os.environ.get("CMFM_FOREIGN_CLIENTS") != "required", "promtool is not installed"
        pytest.skip("needs promtool (Debian package prometheus)")
    ended = subprocess.run([promtool, *map(str, command)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr

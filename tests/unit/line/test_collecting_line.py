"""A running line that is asked to collect parts and to write an audit entry, over its control socket."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from tests.unit.made.recipes import frames, saved
from tests.unit.made.service import Outside, line_settings, serve

from cmfm_client.errors import RefusedError
from cmfm_client.requests import RequestClient
from cmfm_protocol.wire.record_requests import AuditRequest
from cmfm_protocol.wire.state import CollectState
from cmfm_protocol.wire.verdict import Reason
from cmfm_records.archived_part import read_archived_part
from cmfm_records.collected import read_product
from cmfm_records.ledger import open_ledger
from cmfm_worker.errors import ExitCode, InputError

LIMIT_S = 30


def collected(client: RequestClient, wanted: int) -> CollectState:
    """Wait until so many parts are collected."""
    give_up = time.monotonic() + LIMIT_S
    while (state := client.status(timeout_s=LIMIT_S).collecting) is None or state.collected < wanted:
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return state


def test_line_collects_parts_that_it_cannot_judge(tmp_path: Path) -> None:
    """Frames of an unknown recipe get their FAULT and are kept as sent; who asked for it is in the ledger at once."""
    settings = line_settings(tmp_path)
    settings = settings.model_copy(
        update={"collected": settings.collected.model_copy(update={"folder": tmp_path / "collected"})}
    )
    refused: list[str] = []

    def act(outside: Outside) -> None:
        outside.send(1)
        outside.listen(1)
        with RequestClient(settings.sockets.control, timeout_s=LIMIT_S) as client:
            assert client.status().collecting is None
            client.collect("cap", 2, every=2, timeout_s=LIMIT_S)
            outside.send(1, first=1)
            outside.listen(1)
            outside.name = "unheard"
            outside.send(3, first=2)
            outside.listen(3)
            assert collected(client, 2) == CollectState("cap", wanted=2, collected=2, dropped=0, every=2)
            client.audit(AuditRequest("1", "e1", 1, "ann", "collect", "cap"), timeout_s=LIMIT_S)
            with open_ledger(tmp_path / "ledger.sqlite") as reader:
                assert [entry.who for entry in reader.audit()] == ["ann"]
            (tmp_path / "collected" / "file").write_text("")
            try:
                client.collect("file", 1, timeout_s=LIMIT_S)
            except RefusedError as error:
                refused.append(str(error))
        outside.signal()

    outside = Outside(settings, act)
    assert serve(settings).code is ExitCode.OK
    outside.end()
    assert refused == [f"{tmp_path}/collected/file: cannot be written (Not a directory)"]
    first, second = read_product(tmp_path / "collected", "cap").parts
    assert (first.facts["seq"], first.facts["verdict"]) == (1, "FAIL")
    assert (second.facts["seq"], second.facts["reason"]) == (3, Reason.UNKNOWN_RECIPE)
    rgb, xyz = (tensor.numpy()[0] for tensor in frames(1))
    kept = read_archived_part(second.folder)
    assert kept.rgb.tobytes() == rgb.tobytes()
    assert kept.xyz.tobytes() == xyz.tobytes()
    assert [part.use for part in (first, second)] == ["left_out", "good"]


def test_line_without_recipes_is_taught_its_first_one(tmp_path: Path) -> None:
    """It starts, answers every part with a FAULT, keeps them, and inspects as soon as a recipe is loaded."""
    settings = line_settings(tmp_path)
    shutil.rmtree(tmp_path / "recipes")
    with pytest.raises(InputError, match="no such folder"):
        serve(settings)
    recipes = settings.recipes.model_copy(update={"may_be_empty": True})
    collected_section = settings.collected.model_copy(update={"folder": tmp_path / "collected"})
    settings = settings.model_copy(update={"recipes": recipes, "collected": collected_section})

    def act(outside: Outside) -> None:
        outside.send(1)
        outside.listen(1)
        with RequestClient(settings.sockets.control, timeout_s=LIMIT_S) as client:
            client.collect("part", 1, timeout_s=LIMIT_S)
            outside.send(1, first=1)
            outside.listen(1)
            collected(client, 1)
            saved(tmp_path / "recipes" / "part")
            client.load_recipe("part", timeout_s=LIMIT_S)
            assert client.status().recipes == ("part",)
        outside.send(1, first=2)
        outside.listen(1)
        outside.signal()

    outside = Outside(settings, act)
    assert serve(settings).code is ExitCode.OK
    outside.end()
    reasons = [result.reason for result in outside.results]
    assert reasons == [Reason.UNKNOWN_RECIPE, Reason.UNKNOWN_RECIPE, Reason.ABOVE_THRESHOLD]

"""A part's verdict as the wire's result, as its map message, and as its log line."""

from typing import Any

from cmfm_protocol.wire.anomaly_map import AnomalyMaps
from cmfm_protocol.wire.limits import MAX_TEXT_BYTES
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.line.messages import Decision, PartMaps, Trigger
from cmfm_worker.recipes.drift import DriftState
from cmfm_worker.settings.sections.records import PublishedMaps


def result_of(
    trigger: Trigger,
    decision: Decision,
    *,
    result_id: int,
    boot_id: str,
    done_ns: int,
    deadline_met: bool,
    queue_free: int,
    drops_total: int,
    maps: PublishedMaps,
) -> Result:
    """Make the result (WIRE.md, result) of a trigger and the decision on it."""
    rejected = decision.verdict is not Verdict.PASS
    has_map = decision.maps is not None and (maps == "all" or (maps == "rejected" and rejected))
    return Result(
        result_id=result_id,
        boot_id=boot_id,
        stream_uuid=trigger.key.stream_uuid,
        seq=trigger.key.seq,
        part_id=trigger.part_id,
        verdict=decision.verdict,
        reason=decision.reason,
        detail=_detail(decision.detail, trigger.remark),
        score=decision.score,
        threshold=decision.threshold,
        recipe=trigger.recipe,
        model_sha=decision.model_sha,
        calib_id=trigger.calib_id,
        trigger_ns=trigger.trigger_ns,
        received_ns=trigger.received_ns,
        done_ns=done_ns,
        latency_us=max(done_ns - trigger.trigger_ns, 0) // 1000,
        deadline_met=deadline_met,
        simulated=trigger.simulated,
        queue_free=queue_free,
        drops_total=drops_total,
        coverage=decision.coverage,
        peak_px=decision.peak_px,
        peak_xyz_m=decision.peak_xyz_m,
        regions=decision.regions,
        map_ref=f"{boot_id}/{result_id}" if has_map else "",
        camera=trigger.camera,
    )


def _detail(detail: str, remark: str) -> str:
    both = "; ".join(part for part in (remark, detail) if part)
    return both if len(both.encode()) <= MAX_TEXT_BYTES else detail


def maps_of(result: Result, maps: PartMaps) -> AnomalyMaps:
    """Make the map message (WIRE.md, map) that belongs to a result."""
    return AnomalyMaps(
        map_ref=result.map_ref,
        result_id=result.result_id,
        boot_id=result.boot_id,
        stream_uuid=result.stream_uuid,
        seq=result.seq,
        part_id=result.part_id,
        recipe=result.recipe,
        threshold=result.threshold,
        score=result.score,
        verdict=result.verdict,
        psi=maps.psi,
        psi_2d=maps.psi_2d,
        psi_3d=maps.psi_3d,
        rgb=maps.rgb,
        depth=maps.depth,
        foreground=maps.foreground,
    )


def log_verdict(log: Any, result: Result) -> None:
    """Write one log line for a verdict, a FAULT as a warning. `log` is a structlog logger."""
    facts: dict[str, object] = {
        "result_id": result.result_id,
        "camera": result.camera,
        "stream_uuid": result.stream_uuid,
        "seq": result.seq,
        "part_id": result.part_id,
        "recipe": result.recipe,
    }
    if result.score is not None:
        facts["score"] = round(result.score, 4)
    if result.detail:
        facts["detail"] = result.detail
    write = log.warning if result.verdict is Verdict.FAULT else log.info
    latency_ms = round(result.latency_us / 1000, 1)
    write("verdict", verdict=str(result.verdict), reason=str(result.reason), latency_ms=latency_ms, **facts)


def log_drift(log: Any, recipe: str, state: DriftState) -> None:
    """Log that a recipe's parts drift, as a warning, or do so no longer. `log` is a structlog logger."""
    facts = {f"{name}_psi": round(found.psi, 3) for name, found in state.measures.items()}
    facts |= {f"{name}_limit": round(found.limit, 3) for name, found in state.measures.items()}
    if state.drifting:
        log.warning("drift", recipe=recipe, parts=state.parts, **facts)
    else:
        log.info("drift_over", recipe=recipe, parts=state.parts, **facts)

"""Facts of the line as the live page's script gets them: numbers and names, without words of a language."""

import time
from typing import Final

from cmfm_hmi.board.region_shares import shares_of
from cmfm_hmi.line.live_line import LineSnapshot
from cmfm_protocol.wire.result import Result

LATENCIES: Final = 1_000
"""Newest results whose latency counts."""


def part_facts(result: Result, *, pictured: bool) -> dict[str, object]:
    """Return a part: its verdict and everything that led to it."""
    return {
        "boot": result.boot_id,
        "id": result.result_id,
        "at": result.done_ns / 1e6,
        "time": time.strftime("%H:%M:%S", time.localtime(result.done_ns / 1e9)),
        "part": result.part_id,
        "verdict": str(result.verdict),
        "reason": str(result.reason),
        "detail": result.detail,
        "recipe": result.recipe,
        "camera": result.camera,
        "score": result.score,
        "threshold": result.threshold,
        "coverage": result.coverage,
        "latency_ms": result.latency_us / 1000,
        "simulated": result.simulated,
        "regions": [
            {"mm2": region.area_mm2, "px": region.area_px, "share": share, "modality": region.modality}
            for region, share in zip(result.regions, shares_of(result), strict=True)
        ],
        "picture": pictured,
    }


def state_facts(snapshot: LineSnapshot) -> dict[str, object]:
    """Return what the worker says of itself. `phase` is "unknown" before its first state, "silent" without new ones."""
    state = snapshot.state
    if state is None:
        return {"phase": "unknown", "trouble": snapshot.trouble, "lost": snapshot.lost}
    return {
        "phase": state.phase if snapshot.alive else "silent",
        "silent_s": round(time.monotonic() - snapshot.heard_s, 1),
        "trouble": snapshot.trouble,
        "lost": snapshot.lost,
        "owed": state.in_flight,
        "free": state.queue_free,
        "device": state.device,
        "part_ms": state.part_ms,
        "triggers": state.counts["triggers"],
        "uptime_s": round(state.uptime_s),
    }


def camera_facts(snapshot: LineSnapshot) -> list[dict[str, object]]:
    """Return the cameras. Ages count on the worker's clock up to its newest state, and on ours from then on."""
    state = snapshot.state
    if state is None:
        return []
    since_s = time.monotonic() - snapshot.heard_s

    def age_s(time_ns: int) -> float | None:
        return round(max(state.sent_ns - time_ns, 0) / 1e9 + since_s, 1) if time_ns else None

    return [
        {
            "name": source.name or source.endpoint,
            "alive": source.alive and snapshot.alive,
            "frame_s": age_s(source.last_frame_ns),
            "seen_s": age_s(source.last_seen_ns),
        }
        for source in state.sources
    ]


def latency_facts(snapshot: LineSnapshot) -> dict[str, float | None]:
    """Return median and 99th percentile of the newest results' latency in milliseconds."""
    latencies = sorted(result.latency_us / 1000 for result in snapshot.results[:LATENCIES])
    if not latencies:
        return {"median_ms": None, "p99_ms": None}
    last = len(latencies) - 1
    return {"median_ms": latencies[last // 2], "p99_ms": latencies[min(last, round(0.99 * last))]}

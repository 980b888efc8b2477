"""A report as titled tables of strings, without layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MS, _MB, _MEGA, _GIGA = 1e3, 1 << 20, 1e6, 1e9


@dataclass(frozen=True)
class Table:
    """A table whose first column is text and whose others are numbers."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(report: Mapping[str, Any]) -> Iterator[Table]:
    """Yield the tables of a report: an overview, and the stages of each variant."""
    variants = [v for v in report["variants"] if v["skipped"] is None]
    yield Table("Throughput", _THROUGHPUT, [row for v in variants for row in _throughput_rows(v)])
    yield Table("One frame at a time, and memory", _LATENCY, [_latency(v) for v in variants])
    for variant in variants:
        yield Table(f"{variant['name']}: one frame", _STAGES, [*_stage_rows(variant)])
    lines = [v for v in variants if "end_to_end" in v]
    if lines:
        yield Table(
            "Camera to verdict, open loop, from the scheduled trigger", _LINE, [_line(v) for v in lines]
        )
    if report.get("wire"):
        yield Table("Camera's TCP socket to ring", _WIRE, [_wire(found) for found in report["wire"]])
    compared = [v for v in variants if "ratio_cpu_s" in v.get("twin", {})]
    if compared:
        yield Table("Beside the literal program, the same frame", _TWIN, [_twin(v) for v in compared])


def remarks(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is missing from the tables and why, and the rates of the floors."""
    for variant in report["variants"]:
        if variant["skipped"] is not None:
            yield f"{variant['name']}: skipped, {variant['skipped']}"
            continue
        if "skipped" in variant.get("twin", {}):
            yield f"{variant['name']}: no literal program, {variant['twin']['skipped']}"
        rates = variant["rates"]
        yield (
            f"{variant['name']}: floors at {rates['flop_per_s'] / _GIGA:.0f} GFLOP/s and "
            f"{rates['bytes_per_s'] / _GIGA:.1f} GB/s, both measured in this run"
        )


def as_text(table: Table) -> str:
    """Format a table with aligned columns, without rich."""
    lines = [list(table.header), *map(list, table.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.header))]
    shown = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join([table.title, *shown]) + "\n"


_THROUGHPUT = ("variant", "batch", "frames/s", "CPU-s/frame")
_LATENCY = ("variant", "p50 ms", "p99 ms", "of", "host MB", "loading MB", "device MB")
_STAGES = ("stage", "ms", "CPU ms", "floor ms", "× floor", "GFLOP", "MB")
_LINE = ("variant", "frames/s", "frames", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "camera late ms")
_WIRE = ("MB a frame", "checksums", "frames/s", "MB/s", "CPU-ms a frame", "camera CPU-ms a frame")
_TWIN = ("variant", "literal CPU-s", "fast CPU-s", "ratio", "ratio of wall time", "relative L2 of Ψ")


def _throughput_rows(variant: Mapping[str, Any]) -> Iterator[list[str]]:
    for found in variant["batches"]:
        rates = f"{found['frames_per_s']:.4g}", f"{found['cpu_s_per_frame']:.3g}"
        yield [variant["name"], str(found["batch"]), *rates]


def _latency(variant: Mapping[str, Any]) -> list[str]:
    latency, memory = variant["latency"], variant["memory"]
    device_bytes = latency["device_bytes"]
    return [
        variant["name"],
        f"{latency['p50_s'] * _MS:.1f}",
        f"{latency['p99_s'] * _MS:.1f}",
        str(latency["samples"]),
        f"{memory['host_running_bytes'] / _MB:.0f}",
        f"{memory['host_loading_bytes'] / _MB:.0f}",
        "-" if device_bytes is None else f"{device_bytes / _MB:.0f}",
    ]


def _stage_rows(variant: Mapping[str, Any]) -> Iterator[list[str]]:
    stages = variant["stages"]
    total = {
        key: sum(stage[key] for stage in stages) for key in ("wall_s", "cpu_s", "floor_s", "flop", "bytes")
    }
    for stage in [*stages, {"stage": "all", **total}]:
        yield [
            stage["stage"],
            f"{stage['wall_s'] * _MS:.2f}",
            f"{stage['cpu_s'] * _MS:.2f}",
            f"{stage['floor_s'] * _MS:.2f}",
            f"{stage['wall_s'] / stage['floor_s']:.2f}" if stage["floor_s"] else "-",
            f"{stage['flop'] / _GIGA:.2f}",
            f"{stage['bytes'] / _MB:.1f}",
        ]


def _line(variant: Mapping[str, Any]) -> list[str]:
    found = variant["end_to_end"]
    latencies = [f"{found[key] * _MS:.1f}" for key in ("p50_s", "p99_s", "p999_s", "max_s")]
    late = f"{found['camera']['latest_s'] * _MS:.1f}"
    return [variant["name"], f"{found['rate_hz']:g}", str(found["frames"]), *latencies, late]


def _wire(found: Mapping[str, Any]) -> list[str]:
    camera = found["camera"]
    return [
        f"{found['frame_bytes'] / _MEGA:.1f}",
        "yes" if found["checksums"] else "no",
        f"{found['frames_per_s']:.1f}",
        f"{found['bytes_per_s'] / _MEGA:.0f}",
        f"{found['cpu_s_per_frame'] * _MS:.1f}",
        f"{camera['cpu_s'] / camera['frames'] * _MS:.1f}",
    ]


def _twin(variant: Mapping[str, Any]) -> list[str]:
    twin = variant["twin"]
    return [
        variant["name"],
        f"{twin['literal']['cpu_s']:.2f}",
        f"{twin['fast']['cpu_s']:.2f}",
        f"{twin['ratio_cpu_s']:.2f}",
        f"{twin['ratio_wall_s']:.2f}",
        f"{twin['relative_l2']['psi']:.1e}",
    ]

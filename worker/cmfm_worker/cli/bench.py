"""`cmfm-worker bench`: how fast the method runs here, beside what the machine could do."""

from pathlib import Path
from typing import Annotated

import typer

from cmfm_worker.bench.help import HELP
from cmfm_worker.errors import InputError


def bench(
    extractors: Annotated[str, typer.Option(help=HELP["extractors"])] = "classic",
    image_extractor: Annotated[str, typer.Option(help=HELP["image_extractor"])] = "dino",
    blocks: Annotated[str, typer.Option(help=HELP["blocks"])] = "12",
    group_sizes: Annotated[str, typer.Option(help=HELP["group_sizes"])] = "128",
    precisions: Annotated[str, typer.Option(help=HELP["precisions"])] = "fp32",
    batches: Annotated[str, typer.Option(help=HELP["batches"])] = "1",
    devices: Annotated[str, typer.Option(help=HELP["devices"])] = "auto",
    mappings: Annotated[str, typer.Option(help=HELP["mappings"])] = "mlp",
    modalities: Annotated[str, typer.Option(help=HELP["modalities"])] = "cross",
    weights: Annotated[Path | None, typer.Option(help=HELP["weights"], show_default=False)] = None,
    seeded: Annotated[bool, typer.Option("--seeded", help=HELP["seeded"])] = False,
    frames: Annotated[str, typer.Option(help=HELP["frames"], show_default=False)] = "",
    rgb: Annotated[Path | None, typer.Option(help=HELP["rgb"], show_default=False)] = None,
    xyz: Annotated[Path | None, typer.Option(help=HELP["xyz"], show_default=False)] = None,
    side_px: Annotated[int, typer.Option(help=HELP["side_px"])] = 400,
    background: Annotated[str, typer.Option(help=HELP["background"])] = "ransac",
    seconds: Annotated[float, typer.Option(help=HELP["seconds"])] = 5.0,
    threads: Annotated[int | None, typer.Option(help=HELP["threads"], show_default=False)] = None,
    twin: Annotated[bool, typer.Option("--twin", help=HELP["twin"])] = False,
    end_to_end: Annotated[bool, typer.Option("--end-to-end", help=HELP["end_to_end"])] = False,
    rate_hz: Annotated[float, typer.Option(help=HELP["rate_hz"])] = 2.0,
    wire: Annotated[bool, typer.Option("--wire", help=HELP["wire"])] = False,
    plain_launches: Annotated[bool, typer.Option("--plain-launches", help=HELP["plain_launches"])] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help=HELP["json"], show_default=False)] = None,
) -> None:
    """Measure frames/s, latency, stages beside their floors, memory.

    A stage's floor is what its operations and bytes take at the rates of a matrix product and of a copy,
    measured in the same run. Without weights or --seeded only `classic` can be measured. The same runs as
    `python -m cmfm_worker.bench` where only torch, timm and numpy are installed.
    """
    from cmfm_worker.bench.__main__ import write_json
    from cmfm_worker.bench.benchmark import measure
    from cmfm_worker.bench.options import BenchError, BenchOptions, parse_option
    from cmfm_worker.bench.tables import remarks, tables
    from cmfm_worker.cli.console import remark, show_table

    given = {
        "extractors": extractors,
        "image_extractor": image_extractor,
        "blocks": blocks,
        "group_sizes": group_sizes,
        "precisions": precisions,
        "batches": batches,
        "devices": devices,
        "mappings": mappings,
        "modalities": modalities,
        "frames": frames,
    }
    try:
        lists = {name: parse_option(name, text) for name, text in given.items()}
        options = BenchOptions(
            **lists,
            weights=weights,
            seeded=seeded,
            rgb=rgb,
            xyz=xyz,
            side_px=side_px,
            background=background,  # type: ignore[arg-type]  # checked with the others
            seconds=seconds,
            threads=threads,
            twin=twin,
            end_to_end=end_to_end,
            rate_hz=rate_hz,
            wire=wire,
            plain_launches=plain_launches,
        )
        report = measure(options, remark)
        if json_file is not None:
            write_json(json_file, report)
    except BenchError as error:
        raise InputError(str(error)) from error
    for table in tables(report):
        show_table(table.title, table.header, table.rows)
    for text in remarks(report):
        remark(text)

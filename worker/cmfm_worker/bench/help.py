"""The help of each option of the benchmark. Imports nothing, so that help is quick."""

from __future__ import annotations

HELP: dict[str, str] = {
    "extractors": "Comma list of lite, classic, paper.",
    "image_extractor": "Comma list of dino, dinov2, sam, clip, timm's names of vision transformers (paper only).",
    "blocks": "Comma list of 12, 8, 4, 1: blocks kept of both backbones (paper only).",
    "group_sizes": "Comma list of 128, 32: points in a group (paper only).",
    "precisions": "Comma list of fp32, bf16, fp16, int8 (paper only). Precisions that are slower here are skipped.",
    "batches": "Comma list of batch sizes for the frames/s.",
    "devices": "Comma list of auto, cpu, cuda, cuda:N.",
    "mappings": "Comma list of mlp, mlp_encoder_decoder, conv_encoder_decoder: the mapping networks.",
    "modalities": "Comma list of cross, intra: whether a modality is predicted from the other one or from itself.",
    "weights": "Folder of the published extractor weights (paper only).",
    "seeded": "Use random weights: the same work, meaningless maps.",
    "frames": "Comma list of .npz files with rgb (H, W, 3) uint8 and xyz (H, W, 3) float32; made up by default.",
    "rgb": "A part's picture (PNG), with --xyz.",
    "xyz": "A part's points (TIFF), with --rgb.",
    "side_px": "Side of made-up frames, in pixels.",
    "background": "ransac, fixed (the first frame's tray) or none: how the tray is removed.",
    "seconds": "Time of each measurement, which is at least three runs.",
    "threads": "CPU threads. Default: torch's choice, and one less for a worker behind a camera.",
    "twin": "Also run the literal program of tests/parity for comparison (paper only; needs the source tree).",
    "end_to_end": "Also run a worker behind a camera, as processes: latency from scheduled trigger to verdict.",
    "rate_hz": "Frames a second of that camera, for --seconds.",
    "wire": "Also measure TCP loopback into the worker's ring, frames of 800 x 800 pixels.",
    "plain_launches": "Do not use CUDA graphs, for comparison. The results are the same.",
    "json": "Write the report to this file.",
}

"""The benchmark: how fast the method runs here, stage by stage.

In: options and frames (files, or made up). Out: a report (a JSON object, shown as tables) with frames/s, latency,
memory, and each stage beside its floor: the least time that this machine needs for the stage's operations and bytes.
Runs in the main thread of `cmfm-worker bench`. `--end-to-end` and `--wire` start a worker and a camera as processes.
Needs torch, timm and numpy alone: `python -m cmfm_worker.bench` is the same command where nothing else is installed.
"""

"""How fast the method runs here, stage by stage, beside what the machine could do and the literal program.

Needs torch, timm and numpy alone, so that it also runs where the worker is not installed:
`python -m cmfm_worker.bench --help`. `cmfm-worker bench` shows the same as tables.
"""

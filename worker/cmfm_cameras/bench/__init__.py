"""Measurements of cameras: `python -m cmfm_cameras.bench`. Nothing that runs imports it.

In: made-up buffers, or MVTec's simulated producer. Out: lines of figures, which docs/cameras.md quotes.
"""

"""The `classic` preset: features from fixed multi-scale filters, without weights, in real time on a CPU.

In: `PreparedFrames`. Out: `PixelFeatures` at the foreground pixels. Runs in the compute thread.
`extractor.py` is the preset itself, `context.py` the channels that are read and not predicted, `masked_filters.py` and
`filters.py` the Gaussian filters. `residual_metric.py` is the distance that replaces Eq. 3 for this preset.
"""

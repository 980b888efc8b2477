"""The `lite` preset: features of EfficientNet-Lite0 before those of `classic`, in real time on a CPU.

In: `PreparedFrames`. Out: `PixelFeatures` at every second foreground pixel. Runs in the compute thread.
`extractor.py` is the preset itself, `network.py` the frozen network, `crop.py` the square of the picture that it sees.
`weights.py` finds and checks the weights, which come with a package of the Python package index.
"""

"""Compute: waiting frames in, one decision a part out.

In: filled slots of the intake's ring. Out: a `Closed` event a part, posted to the verdict thread.
The main thread runs the loop (`loop.py`): it takes batches (`batcher.py`), launches them and concludes them.
The lane (`lane.py`) has the threads "copy", "compute" and, on CUDA, "decide", which run `LineInspector`.
`warm_up.py` computes made-up batches before the line is ready; `batch_timing.py` estimates durations.
"""

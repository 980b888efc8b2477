"""Inspects batches of frames: from pixels and points to anomaly maps, a score, a verdict and defect regions.

In: RGB and XYZ tensors of frames on the device, and the loaded model of each. Out: an `InspectedBatch` on the device
and an `InspectedPart` a frame on the host. `decide` turns its score into verdict and reason, `regions_of` finds its
defects.
Runs in the caller's thread: the line's compute thread, or a command. Knows nothing of deadlines and sockets.
"""

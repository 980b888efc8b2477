"""The method: Crossmodal Feature Mapping, without sockets, settings or clocks.

In: RGB and XYZ of a batch of frames, as tensors on one device. Out: anomaly maps and scores on that device. Runs in
the compute thread of the line, and in the main thread of the commands. A batch passes `prepare.py` (with
`background.py` and `clusters.py`), an extractor (`classic/`, or `image/` and `points/` in `paper_extractor.py`),
`mapping/`, `pixel_distances.py`, `anomaly_maps.py` and `anomaly_score.py`. The paper's equations are in
`equations.py`, `fast/` holds what makes the same numbers faster, `fit/` teaches the mappings, and `metrics/`
evaluates maps.
"""

"""F_3D: Point-MAE's encoder on groups of points, and the interpolation from tokens to pixels (paper § 3.1, § 3.4).

In: each frame's foreground points. Out: 1024 tokens a frame, and the sparse matrix that spreads them over the pixels.
Runs in the compute thread. `grouping.py` chooses centres and neighbours, `mini_pointnet.py` makes a token of each
group, `features.py` is the transformer, `interpolation.py` the matrix.
"""

"""Makes synthetic data sets in MVTec 3D-AD layout: two families of products, with defects and their ground truth.

In: a seed, a category, a split and a defect. Out: pictures, points and masks, as arrays or as files. The same arguments
give the same bytes. `write` uses a pool of threads; everything else runs in the caller's thread.
"""

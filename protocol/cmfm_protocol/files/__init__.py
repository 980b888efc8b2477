"""Files: data sets on disk, pictures of RGB, points and depth, and CURVE keys.

In: paths. Out: arrays, lists of a data set's parts, or key pairs; a file that cannot be used is a DatasetError (a
KeyFileError for keys) that names it. Needs Pillow, tifffile, imagecodecs and PyYAML beside the wire's packages.
Pure functions: any thread may call them.
"""

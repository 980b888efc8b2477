"""Geometry of pictures and points: lenses, poses, calibration files, and points registered to another camera's picture.

In: points (H, W, 3) of a depth sensor in metres, a calibration file. Out: points (H, W, 3) at the pixels of a picture.
Pure functions of arrays, without threads, devices or clocks.
"""

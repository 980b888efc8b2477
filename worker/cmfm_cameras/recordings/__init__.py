"""Recordings: a device's frames on disk as they came, lossless, with their times, refusals and openings.

In: captures of a device. Out: a folder with `NUMBER.rgb.png`, `NUMBER.xyz.tiff` and `NUMBER.json` for each frame, and
the same captures again. The JSON file is written last: a frame without it was cut off. No threads.
"""

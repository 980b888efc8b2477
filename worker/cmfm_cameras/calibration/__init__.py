"""`cmfm-camera calibrate`: a folder of pictures of a board becomes the calibration file of two devices.

In: pictures of a ChArUco board or checkerboard, NAME.picture.png and NAME.depth.png by both devices. Out: intrinsics of
both, the motion between them, errors of each view; or a refusal that says which views are needed. One thread, OpenCV.
"""

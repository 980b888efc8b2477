"""RealSense by librealsense: depth and colour frames of one device in, registered captures out.

`streams` opens sensors and gives frames as they come, `pairing` (pure) finds depth and colour of one moment, `cloud`
filters and registers. All runs in the device's thread; librealsense has threads of its own, which fill `inbox`.
pyrealsense2 is imported late, by `library`.
"""

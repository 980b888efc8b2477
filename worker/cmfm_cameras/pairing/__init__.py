"""Two devices as one: pictures of a 2D camera and points of a depth sensor, paired by trigger.

In: halves of both devices in the order of each. Out: pairs of one trigger, and every half that has no partner, once.
Pure: no threads, clocks or devices; `cmfm_cameras.adapters.two_devices` drives it.
"""

"""Adapters of real 3D cameras: a device's frames in, sealed frames, triggers and heartbeats by WIRE.md out.

In: captures of one device (`adapters`, a module each kind), copied out of its buffers, registered, in metres.
Out: an XPUB socket of `cmfm_client.Camera`. A process of its own for each camera.
The device has a thread of its own (`device_thread`), so that a driver never delays a heartbeat; the main thread
numbers and publishes (`publisher`, `numbering`).
"""

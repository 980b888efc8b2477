"""`cmfm-camera trigger`: a photo-eye's edges become trigger messages ahead of the frames; a process of its own.

In: edges of one digital input, by Modbus TCP or a GPIO line (`modbus`, `gpio`, in a thread); a camera's heartbeats.
Out: trigger messages on a frames socket of its own, or `announce` requests to the worker (`announcer`, main thread).
`debounce`, `counter` and `steps` are pure: samples, counts and heartbeats in, edges and numbers out.
"""

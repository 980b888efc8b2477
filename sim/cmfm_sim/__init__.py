"""An inspection line without hardware: synthetic parts, a simulated camera with faults, a viewer, a recorder.

In: data sets (`datasets`, or a user's own) and what a worker publishes. Out: frames and triggers on the wire,
records on disk, and the account of a run from outside the worker. `cmfm_client` has the sockets; faults are a layer
over its `Camera`. A replay sends from the main thread, reads ahead in the thread "feed" and hears results in "results".
`demo` and `chaos` run a replay and a worker as processes.
"""

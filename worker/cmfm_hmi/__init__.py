"""Operator's page of an inspection line over HTTP, for browsers; a process of its own that may be killed at any time.

In: results, worker states and maps over ZeroMQ (`line`), the ledger and archived parts on disk (`history`), requests of
people with roles (`security`). Out: pages, pictures and server-sent events; requests to the worker; audit entries.
The feed has a thread; queries, pictures and requests run in small pools with time limits; all else is one asyncio loop.
"""

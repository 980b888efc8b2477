"""Gateway from an inspection line to PLCs and MES: Modbus TCP, OPC UA, MQTT; a process of its own.

In: results and worker states over ZeroMQ (`feed`), requests of PLCs and MES. Out: registers, nodes and messages that
say *not valid* whenever the line is silent, a result is stale or results are missing.
The feed has a thread; adapters run in one asyncio loop on the main thread and read the durable `store` by cursors.
"""

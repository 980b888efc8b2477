"""Grades both ends of the Modbus handshake: a bad PLC against a gateway, the vision system against a PLC program.

In: the address of a running gateway, or a PLC program that connects here. Out: a report in words, pass or fail for each
case. In an asyncio loop of its own; nothing else of the gateway runs.
"""

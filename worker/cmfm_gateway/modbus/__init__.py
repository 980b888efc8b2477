"""Modbus TCP: the registers of a vision system for PLCs, as a server or as a client of a PLC's own registers.

In: results and the line's view, control words of PLCs. Out: status words and result registers, by one table of
registers from which server, symbols and documents follow. In the asyncio loop.
"""

"""Checks somebody's own camera against WIRE.md: listens to its publisher for a while and reports line by line.

In: the messages of a frames endpoint with the times of their arrival, and what became of the connection. Out: lines,
each pass, fail or remark, with what to do and the section of WIRE.md. `checker` and the checks below it are pure;
`probe` and `listen` have the sockets. One thread.
"""

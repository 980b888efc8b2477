"""A program as a service: entry point and exit codes, log, HTTP page, messages to systemd, SQLite transactions.

In: structlog events, a WSGI page of metrics, probes. Out: lines on stderr, HTTP answers, sd_notify messages.
The log and HTTP run in threads of their own, so that neither a slow reader nor a slow client holds the program up.
"""

"""What every long-running program of ours needs as a service: its log, its HTTP page, its words to systemd.

In: structlog events, a WSGI page of metrics, probes. Out: lines on stderr, HTTP answers, sd_notify messages.
The log and HTTP run in threads of their own, so that neither a slow reader nor a slow client holds the program up.
"""

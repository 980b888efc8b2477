"""The guarded server: asyncua with the limits and checks that it lacks.

In: bytes of clients. Out: the library's services, for activated sessions over encrypted channels of trusted
certificates alone. asyncua 2.1 takes sessions without encryption whatever is offered, serves sessions before their
activation, lets a session delete the subscriptions of others, and bounds neither messages nor intervals. Everything
runs in the server's loop.
"""

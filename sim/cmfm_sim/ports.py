"""Free TCP ports on this machine, for the endpoints of a demo, a chaos run or a test."""

import secrets
import socket
from typing import Final

FIRST_PORT: Final = 15_000
EPHEMERAL_PORTS: Final = 32_768
"""From here on Linux takes ports for outgoing connections, such as those of a subscriber that waits for its worker."""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 on which nobody listens at this moment, and which no outgoing connection takes."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                probe.bind(("127.0.0.1", FIRST_PORT + secrets.randbelow(EPHEMERAL_PORTS - FIRST_PORT)))
            except OSError:
                probe.close()
            else:
                held.append(probe)
        return [int(probe.getsockname()[1]) for probe in held]
    finally:
        for probe in held:
            probe.close()

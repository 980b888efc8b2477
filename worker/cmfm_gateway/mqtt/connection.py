"""Makes a connection from the section [mqtt]: TLS, user and password, the will; and how long to wait between two."""

import random
import ssl
from pathlib import Path
from typing import Any, Final

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from pydantic import SecretStr

from cmfm_gateway.mqtt.client import BrokerClient
from cmfm_gateway.mqtt.publication import Publication
from cmfm_gateway.settings.mqtt import MqttSection
from cmfm_settings.errors import InputError

FIRST_PAUSE_S: Final = 0.25
STEADY_S: Final = 10.0
"""A connection that lived this long was a good one: the next pause is short again."""

OPEN_TO_OTHERS: Final = 0o077
MAX_PASSWORD_BYTES: Final = 4096


class Backoff:
    """The pauses between attempts to connect: 0.25 s, doubled each time up to a limit, each shortened at random."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._next_s = FIRST_PAUSE_S

    def pause_s(self, lived_s: float) -> float:
        """The pause after a connection that lived `lived_s`, 0 if it was not made."""
        if lived_s >= STEADY_S:
            self._next_s = FIRST_PAUSE_S
        pause_s = min(self._next_s, self._longest_s)
        self._next_s = min(self._next_s * 2, self._longest_s)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 (gateways of a site shall not come all at once)


def broker_client(
    section: MqttSection, *, identifier: str, will: Publication, **options: Any
) -> BrokerClient:
    """A client that is not connected yet. Raises InputError naming the file that cannot be used."""
    return BrokerClient(
        section.host,
        section.port,
        acknowledge_s=section.acknowledge_s,
        identifier=identifier,
        keepalive=section.keepalive_s,
        username=section.user or None,
        password=read_password(section),
        tls_context=tls_context(section) if section.tls else None,
        will=aiomqtt.Will(
            will.topic, will.payload, will.qos, will.retain, will.properties(PacketTypes.WILLMESSAGE)
        ),
        **options,
    )


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho leaves that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def check_files(section: MqttSection) -> None:
    """Read the files that the section names. Raises InputError naming the one that cannot be used."""
    read_password(section)
    if section.tls:
        tls_context(section)


def tls_context(section: MqttSection) -> ssl.SSLContext:
    """TLS that checks certificate and host name. Raises InputError naming the file that cannot be used."""
    context = ssl.create_default_context()
    if section.ca_file is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(section.ca_file)
        except OSError as error:
            raise InputError(
                f"{section.ca_file}: no certificates can be read from it ([mqtt] ca_file): {error}"
            ) from error
    if section.cert_file is not None and section.key_file is not None:
        try:
            context.load_cert_chain(section.cert_file, section.key_file, password=_refuse_passphrase)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{section.cert_file}, {section.key_file}: no client certificate with its key ([mqtt] cert_file, "
                f"key_file): {error}"
            ) from error
    context.sslsocket_class = _TlsSocket
    return context


def read_password(section: MqttSection) -> str | None:
    """The password in force, None without one. Raises InputError for a file that cannot be read or that others can."""
    if section.password is not None:
        return section.password.get_secret_value()
    return None if section.password_file is None else _first_line(section.password_file).get_secret_value()


def _first_line(path: Path) -> SecretStr:
    try:
        if path.stat().st_mode & OPEN_TO_OTHERS:
            raise InputError(
                f"{path}: others may read the password; run chmod 600 on it ([mqtt] password_file)"
            )
        with path.open(encoding="utf-8") as file:
            line = file.readline(MAX_PASSWORD_BYTES).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the password cannot be read ([mqtt] password_file): {error}") from error
    if not line:
        raise InputError(f"{path}: its first line, the password, is empty ([mqtt] password_file)")
    return SecretStr(line)


def _refuse_passphrase() -> str:
    raise ValueError("the key has a passphrase, which nobody can type here")

"""Errors that the client raises. Each message names the endpoint, file or option it is about.

Beside these, encoders raise `LocalProtocolError` and key files raise `KeyFileError`, both of `cmfm_protocol`.
"""


class ClientError(Exception):
    """Base of all errors of this package."""


class EndpointError(ClientError):
    """An endpoint has the wrong form or cannot be connected to. The caller's input is wrong."""


class BindError(ClientError):
    """An endpoint cannot be bound, mostly because another process holds it."""


class NoSubscriberError(ClientError):
    """Nobody subscribed to the camera's frames within the time given."""


class NoReplyError(ClientError):
    """The worker did not reply within the time given."""


class RefusedError(ClientError):
    """The worker replied that it does not do what was asked; the message is the worker's."""


class RecordError(ClientError):
    """A record on disk cannot be read or written; the message names the file, and the line where there is one."""

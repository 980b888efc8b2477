"""The wire: messages between cameras, the worker and its clients, as WIRE.md describes them.

In: frozen dataclasses to encode, or the bytes of message frames to decode. Out: message frames, or dataclasses with
read-only views of the arrays. Needs numpy and msgpack alone; no sockets. Encoders raise LocalProtocolError, decoders
RemoteProtocolError. Pure functions: any thread may call them. Each field is declared once, at its dataclass (`fields`).
"""

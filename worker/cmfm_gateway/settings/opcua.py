"""The section `[opcua]`."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from cmfm_protocol.wire.limits import MAX_NAME_CHARS
from cmfm_settings.endpoints import Host
from cmfm_settings.section import ConfigPath, Section


def _require_path(path: str) -> str:
    if not path.startswith("/") or not path.isprintable() or " " in path:
        raise ValueError("expected /NAME")
    return path


UrlPath = Annotated[str, AfterValidator(_require_path), Field(max_length=200)]


class OpcUaSection(Section):
    """OPC UA server with the Machine Vision companion model (OPC 40100-1)."""

    enabled: bool = Field(False, description="true: run it.")
    host: Host = Field(
        "127.0.0.1",
        description='Host name or address to listen on; "0.0.0.0" for all. Every session is signed and encrypted.',
    )
    port: int = Field(4840, ge=1, le=65535, description="TCP port.")
    path: UrlPath = Field("/cmfm", description="Path of the endpoint: opc.tcp://HOST:PORT/PATH.")
    name: str = Field(
        "", max_length=64, description="Name of this system, added to the server's name that clients show."
    )
    hosts: tuple[Host, ...] = Field(
        (),
        max_length=16,
        description="Host names and addresses by which clients reach this server; its certificate is made for them. "
        "The first one is what endpoints name. Empty: the host above, or this machine's name.",
    )
    application_uri: str = Field(
        "",
        max_length=200,
        description='URI of this server, unique in the plant, part of its certificate. "": '
        "urn:MACHINE:cmfm-gateway.",
    )
    certificates: ConfigPath = Field(
        Path("opcua"),
        description="Folder of certificates: own (made at the first start), trusted (clients that may connect), "
        "rejected (clients that tried). `cmfm-gateway opcua` lists and trusts them.",
    )
    users: ConfigPath = Field(
        Path("opcua-users.txt"),
        description="File of the users with hashed passwords, written by `cmfm-gateway opcua user`.",
    )
    anonymous_may_read: bool = Field(
        False,
        description="true: clients with a trusted certificate may read without name and password. Methods that change "
        "something always need a user.",
    )
    sessions: int = Field(20, ge=1, le=200, description="Sessions of clients at once.")
    automatic: bool = Field(
        True,
        description="true: a continuous job starts by itself when the line is ready. false: results are announced "
        "as events after a client has called StartContinuous or StartSingleJob.",
    )
    single_job_camera: str = Field(
        "",
        max_length=MAX_NAME_CHARS,
        description='Camera whose trigger StartSingleJob announces at the worker. "": it announces none and waits for '
        "the next result.",
    )
    halt_drains: bool = Field(
        False,
        description="true: Halt also tells the worker to end in order. false: Halt ends the announcing of results, the "
        "line goes on.",
    )
    jobs: ConfigPath = Field(
        Path("opcua-jobs.jsonl"), description="File that holds which job each result came in."
    )
    nodeset: ConfigPath | None = Field(
        None,
        description="NodeSet file of the Machine Vision model (OPC Foundation) to import instead of the built-in part "
        'of it. "": the built-in one.',
    )

    @model_validator(mode="after")
    def _uri(self) -> Self:
        if self.application_uri and ":" not in self.application_uri:
            raise ValueError(f"application_uri = {self.application_uri!r}: a URI has a scheme, urn:… for one")
        return self

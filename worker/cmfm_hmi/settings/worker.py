"""The section `[worker]`: the inspection line that the page shows."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from cmfm_settings.endpoints import ServerEndpoint
from cmfm_settings.names import Name
from cmfm_settings.section import ConfigPath, Seconds, Section


class WorkerSection(Section):
    """The worker whose line is shown."""

    line: Name = Field("line1", description="Name of the line, as [line] name in the worker's line.toml.")
    station: Name = Field("station1", description="Name of the station, as [line] station there.")
    results: ServerEndpoint = Field(
        "tcp://127.0.0.1:5556", description="The worker's results endpoint, as [sockets] results there."
    )
    maps: ServerEndpoint = Field(
        "tcp://127.0.0.1:5557",
        description="The worker's maps endpoint, as [sockets] maps there: pictures of the live page.",
    )
    recovery: ServerEndpoint = Field(
        "tcp://127.0.0.1:5558", description="The worker's recovery endpoint, as [sockets] recovery there."
    )
    control: ServerEndpoint = Field(
        "tcp://127.0.0.1:5559",
        description="The worker's control endpoint, as [sockets] control there: recipes, collecting, audit entries.",
    )
    key: ConfigPath | None = Field(
        None,
        description="This page's NAME.key_secret, for a worker that speaks CURVE. The worker needs NAME.key among "
        'its readers, and among its controllers for requests. "": no encryption.',
    )
    worker_key: ConfigPath | None = Field(
        None, description='The worker\'s public key file (worker.key), with key. "": no encryption.'
    )
    silence_s: Seconds = Field(
        2.0,
        description="Seconds without a worker state after which the page says that no worker inspects. The worker "
        "sends one every 0.5 s.",
    )
    config: ConfigPath = Field(
        Path("line.toml"),
        description="The worker's settings file, for cmfm-worker commands that the page starts (teaching, thresholds, "
        "replay).",
    )
    command: tuple[str, ...] = Field(
        (),
        max_length=16,
        description="Program and first arguments of these commands. []: cmfm-worker of this installation. "
        '["docker", "exec", "worker", "cmfm-worker"] runs them in another container.',
    )

    @model_validator(mode="after")
    def _both_keys_or_none(self) -> Self:
        if (self.key is None) is not (self.worker_key is None):
            raise ValueError("key and worker_key belong together; set both, or neither")
        return self

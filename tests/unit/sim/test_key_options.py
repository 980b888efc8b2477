"""Key options of the simulator's commands that belong together."""

from pathlib import Path

import pytest

from cmfm_sim.errors import InputError
from cmfm_sim.key_options import camera_keys, client_keys


def test_half_of_a_set_of_keys_is_an_error() -> None:
    """A command never falls back to an unencrypted connection."""
    for own, server in ((Path("plc.key_secret"), None), (None, Path("worker.key"))):
        with pytest.raises(InputError, match="go together"):
            client_keys(own, server)
    with pytest.raises(InputError, match="needs --key"):
        camera_keys(None, Path("workers"))


def test_without_options_nothing_is_encrypted() -> None:
    """Keys are asked for by their options alone."""
    assert client_keys(None, None) is None
    assert camera_keys(None, None) is None

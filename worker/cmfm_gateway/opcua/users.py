"""Users of the OPC UA server (`cmfm_settings.users`), written by `cmfm-gateway opcua user`.

`view` reads everything, `control` also calls the methods that change something.
"""

from pathlib import Path
from typing import Final, Literal, get_args

from cmfm_settings import users
from cmfm_settings.users import LoginLimit, User, make_user, write_users

__all__ = ["LoginLimit", "Role", "User", "make_user", "read_users", "write_users"]

Role = Literal["view", "control"]
COMMAND: Final = "cmfm-gateway opcua user"


def read_users(path: Path) -> dict[str, User]:
    """Read the file; no file is no user. Raises InputError naming file and line."""
    return users.read_users(path, get_args(Role), COMMAND)

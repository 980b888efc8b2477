"""Roles: each may do what those before it may."""

from enum import IntEnum
from typing import Final


class Role(IntEnum):
    """The rights of a visitor. NONE is a visitor who has not logged in and may not look."""

    NONE = 0
    VIEW = 1  # look
    OPERATE = 2  # mark wrong calls, take over from the PLC, load a recipe
    TEACH = 3  # collect, teach, change thresholds
    ADMINISTER = 4  # import recipes, see the whole trace

    @property
    def label(self) -> str:
        """The role as the file of users and the texts have it."""
        return self.name.lower()


USER_ROLES: Final = tuple(role.label for role in Role if role is not Role.NONE)


def role_of(label: str) -> Role:
    """Return the role of a label of `USER_ROLES`. Raises KeyError."""
    return Role[label.upper()]

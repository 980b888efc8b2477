"""`cmfm-hmi user`: add, list and remove the page's users."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cmfm_hmi.errors import InputError
from cmfm_hmi.security.roles import USER_ROLES

app = typer.Typer(no_args_is_help=True, help="Users of the page: names, roles, hashed passwords.")

Config = Annotated[Path, typer.Option("--config", help="The page's settings (TOML).", show_default=False)]


@app.command()
def add(
    config: Config,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name to log in with.")],
    role: Annotated[
        str,
        typer.Option(
            "--role",
            help="view: look. operate: also mark wrong calls and take over from the PLC. teach: also collect, teach "
            "and change thresholds. administer: also import recipes.",
        ),
    ] = "view",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
    ] = False,
) -> None:
    """Add a user, or give one a new password and role. Asks for the password. It counts at once."""
    from cmfm_hmi.security.users import read_page_users
    from cmfm_settings.users import make_user, write_users

    if role not in USER_ROLES:
        raise InputError(f"--role {role}: expected {', '.join(USER_ROLES)}")
    path = _users_file(config)
    users = read_page_users(path)
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    users[name] = make_user(name, role, password)
    write_users(path, users)
    typer.echo(f"{path}: {name} ({role})")


@app.command("list")
def list_users(config: Config) -> None:
    """List names and roles."""
    from cmfm_hmi.security.users import read_page_users

    for user in read_page_users(_users_file(config)).values():
        typer.echo(f"{user.name}  {user.role}")


@app.command()
def remove(
    config: Config, name: Annotated[str, typer.Argument(metavar="NAME", help="User to remove.")]
) -> None:
    """Remove a user. His sessions end at once."""
    from cmfm_hmi.security.users import read_page_users
    from cmfm_settings.users import write_users

    path = _users_file(config)
    users = read_page_users(path)
    if users.pop(name, None) is None:
        raise InputError(f"{path}: no user {name!r}; there are: {', '.join(sorted(users)) or 'none'}")
    write_users(path, users)
    typer.echo(f"{path}: removed {name}")


def _users_file(config: Path) -> Path:
    from cmfm_hmi.settings.load import load_with_sources

    return load_with_sources(config).settings.access.users

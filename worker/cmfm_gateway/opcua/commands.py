"""`cmfm-gateway opcua`: the server's certificate, the certificates of clients, and users."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cmfm_gateway.errors import InputError
from cmfm_gateway.settings.opcua import OpcUaSection

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Certificates and users of the OPC UA server.\n\n"
    "A client that connects for the first time is refused, and its certificate is kept: `rejected` lists it, "
    "`trust` accepts it. It also needs a user, which `user add` makes. Changes count at once, without a restart.",
)

users_app = typer.Typer(no_args_is_help=True, help="Users: name, role and hashed password.")
app.add_typer(users_app, name="user")

Config = Annotated[Path, typer.Option("--config", help="The gateway's settings (TOML).", show_default=False)]
Thumbprint = Annotated[
    str,
    typer.Argument(metavar="THUMBPRINT", help="SHA-1 of the certificate in hex, or its unique beginning."),
]


@app.command()
def certificate(
    config: Config,
    new: Annotated[
        bool, typer.Option("--new", help="Make a new key and certificate. Clients must trust it again.")
    ] = False,
) -> None:
    """Show the server's own certificate; make it if it is missing."""
    from cmfm_gateway.opcua.own_certificate import ensure_certificate, make_certificate, own_files
    from cmfm_gateway.opcua.serve import application_uri, certificate_hosts
    from cmfm_gateway.opcua.trust_list import read_certificate, thumbprint

    section = _section(config)
    uri, hosts = application_uri(section), certificate_hosts(section)
    if new:
        make_certificate(own_files(section.certificates), uri, hosts)
    files = ensure_certificate(section.certificates, uri, hosts)
    made = read_certificate(files.certificate)
    typer.echo(f"{files.certificate}\nthumbprint {thumbprint(made)}\napplication URI {uri}")
    typer.echo(f"valid until {made.not_valid_after_utc:%Y-%m-%d}")


@app.command()
def rejected(config: Config) -> None:
    """List certificates of clients that were refused, newest last."""
    _list(config, trusted=False)


@app.command()
def trusted(config: Config) -> None:
    """List certificates of clients that may connect."""
    _list(config, trusted=True)


@app.command()
def trust(config: Config, mark: Thumbprint) -> None:
    """Accept a client that was refused; it may connect from now on."""
    from cmfm_gateway.opcua.trust_list import TrustList, common_name, thumbprint

    found = TrustList(_section(config).certificates).trust(mark)
    typer.echo(f"trusted: {thumbprint(found)} {common_name(found)}")


@app.command()
def distrust(config: Config, mark: Thumbprint) -> None:
    """Refuse a client from now on. Its present sessions end when their channel is renewed."""
    from cmfm_gateway.opcua.trust_list import TrustList, common_name, thumbprint

    found = TrustList(_section(config).certificates).distrust(mark)
    typer.echo(f"no longer trusted: {thumbprint(found)} {common_name(found)}")


@users_app.command("add")
def add_user(
    config: Config,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name to log in with.")],
    role: Annotated[
        str, typer.Option("--role", help="view: read everything. control: also start, stop, prepare recipes.")
    ] = "view",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
    ] = False,
) -> None:
    """Add a user, or give one a new password and role. Asks for the password."""
    from cmfm_gateway.opcua.users import make_user, read_users, write_users

    if role not in {"view", "control"}:
        raise InputError(f"--role {role}: expected view or control")
    path = _section(config).users
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    users = read_users(path)
    users[name] = make_user(name, role, password)
    write_users(path, users)
    typer.echo(f"{path}: {name} ({role})")


@users_app.command("list")
def list_users(config: Config) -> None:
    """List names and roles."""
    from cmfm_gateway.opcua.users import read_users

    for user in read_users(_section(config).users).values():
        typer.echo(f"{user.name}  {user.role}")


@users_app.command("remove")
def remove_user(
    config: Config, name: Annotated[str, typer.Argument(metavar="NAME", help="User to remove.")]
) -> None:
    """Remove a user. Sessions that are open stay."""
    from cmfm_gateway.opcua.users import read_users, write_users

    path = _section(config).users
    users = read_users(path)
    if users.pop(name, None) is None:
        raise InputError(f"{path}: no user {name!r}; there are: {', '.join(sorted(users)) or 'none'}")
    write_users(path, users)
    typer.echo(f"{path}: removed {name}")


def _list(config: Path, *, trusted: bool) -> None:
    from cmfm_gateway.opcua.trust_list import TrustList, common_name, thumbprint

    trust_list = TrustList(_section(config).certificates)
    found = trust_list.trusted() if trusted else trust_list.rejected()
    for certificate in found:
        until = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        typer.echo(f"{thumbprint(certificate)}  until {until}  {common_name(certificate)}")
    if not found:
        typer.echo("none")


def _section(config: Path) -> OpcUaSection:
    from cmfm_gateway.settings.load import load_with_sources

    return load_with_sources(config).settings.opcua

"""`cmfm-worker keys`: make CURVE key pairs, and say what is in a key file."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Make the key files of a line that encrypts (`[curve]` in line.toml).\n\n"
    "Everyone on the line (the worker, each PLC gateway, each engineer, each camera) has a pair: a secret file, which "
    "stays where it is used, and a public file, which the others are given. The worker lets in whose public file lies "
    "in its folder of readers (results, maps, recovery) or of controllers (status, load recipe, drain).",
)


@app.command("new")
def new(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder to write to.", show_default=False)
    ],
    name: Annotated[
        str,
        typer.Option(
            "--name",
            help="Whose pair it is: plc1, worker, camera1. Also the files' name.",
            show_default=False,
        ),
    ],
) -> None:
    """Make a key pair: NAME.key_secret (readable by you alone) and NAME.key.

    Prints which file goes where. Never replaces a file.
    """
    import zmq

    from cmfm_protocol.files.key_files import KeyPair, write_pair

    secret, public = write_pair(out, name, KeyPair(*zmq.curve_keypair()))
    typer.echo(what_to_do(secret, public))


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .key or .key_secret file.")],
) -> None:
    """Print the public key in a file, as logs and other ZeroMQ programs write it; secrets are never printed."""
    from cmfm_protocol.files.key_files import SECRET_SUFFIX, read_pair, read_public

    key = read_pair(file).public if file.suffix == SECRET_SUFFIX else read_public(file)
    typer.echo(key.decode())


def what_to_do(secret: Path, public: Path) -> str:
    """Which of the two files goes where, for each who may own them."""
    folder, name = shlex.quote(str(public)), public.stem
    return f"""\
{secret}   SECRET: stays on the machine of {name}, mode 600, owned by the user that runs it
{public}   public: for the others

If {name} is
  the worker        in line.toml: [curve] secret_key = "{secret}"
                    and give {public.name} to every client (they must know whom they talk to)
  a PLC gateway, MES or display
                    on the worker's machine: cp {folder} READERS     (the folder [curve] readers)
  someone who may drain the line or load recipes
                    on the worker's machine: cp {folder} CONTROLLERS (the folder [curve] controllers)
  a camera          on the worker's machine, in line.toml:
                    [curve] cameras = {{ "tcp://CAMERA:5555" = "{public}" }}
"""

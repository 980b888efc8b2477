"""`cmfm-worker keys`: makes CURVE key pairs, and shows the public key in a key file."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Make the key files of a line that encrypts (`[curve]` in line.toml).\n\n"
    "The worker, each PLC gateway, each engineer and each camera has a pair: a secret file, which stays on its "
    "machine, and a public file, which the others get. The worker accepts clients whose public file lies in its "
    "folder of readers (results, maps, recovery) or of controllers (status, announce, load recipe, drain).",
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
            help="Owner of the pair: plc1, worker, camera1. Also the name of both files.",
            show_default=False,
        ),
    ],
) -> None:
    """Make a key pair: NAME.key_secret (readable by you alone) and NAME.key.

    Prints which file goes where. An existing file is never replaced.
    """
    import zmq

    from cmfm_protocol.files.key_files import KeyPair, write_pair

    secret, public = write_pair(out, name, KeyPair(*zmq.curve_keypair()))
    typer.echo(instructions(secret, public))


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .key or .key_secret file.")],
) -> None:
    """Print the public key in a file, as logs and other ZeroMQ programs write it. Secrets are never printed."""
    from cmfm_protocol.files.key_files import SECRET_SUFFIX, read_pair, read_public

    key = read_pair(file).public if file.suffix == SECRET_SUFFIX else read_public(file)
    typer.echo(key.decode())


def instructions(secret: Path, public: Path) -> str:
    """Return where each of the two files goes, for every kind of owner."""
    file, name = shlex.quote(str(public)), public.stem
    return f"""\
{secret}   SECRET: stays on the machine of {name}, mode 600, owned by the user that runs it
{public}   public: for the others

If {name} is
  the worker        in line.toml: [curve] secret_key = "{secret}"
                    and give {public.name} to every client, which verifies the worker by it
  a PLC gateway, MES or display
                    on the worker's machine: cp {file} READERS     (the folder [curve] readers)
  someone who may drain the line or load recipes
                    on the worker's machine: cp {file} CONTROLLERS (the folder [curve] controllers)
  a camera          on the worker's machine, in line.toml:
                    [curve] cameras = {{ "tcp://CAMERA:5555" = "{public}" }}
"""

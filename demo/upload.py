"""Uploads a folder as a client's SFTP program would: `python -m demo.upload CLIENT FOLDER`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local_stack.processes import StackError
from local_stack.sftp_client import upload
from local_stack.stack import Stack, addresses, default_home

REPO = Path(__file__).parents[1]


def upload_folder(
    client: Annotated[str, typer.Argument(help="The client; a key is made for a new one.")],
    folder: Annotated[Path, typer.Argument(help="The folder with the files.")],
) -> None:
    """Put every file of FOLDER into the client's inbox on the running demonstration."""
    try:
        home = default_home(REPO)
        stack = Stack(home, REPO, [client], airflow=False)
        stack.sftp.port = int(addresses(home)["SFTP_PORT"])
        stack.sftp.add_user(client)
        names = upload(stack.client_access(client), folder, "inbox")
    except StackError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{len(names)} files uploaded to {client}'s inbox: {', '.join(names)}")


if __name__ == "__main__":
    typer.run(upload_folder)

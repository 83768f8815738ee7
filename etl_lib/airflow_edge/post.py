"""Mail to schools through Airflow's connection `smtp_default`; without that connection nobody is written to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from etl_lib.config.project import Project
from etl_lib.config.words import FIRST, Words
from etl_lib.errors import FixTheSetup, TryAgain

if TYPE_CHECKING:
    from etl_lib.report import Letter, Post

log = logging.getLogger(__name__)
CONN_ID = "smtp_default"
_TEMPORARY = range(400, 500)  # of SMTP's answers


def post_of(project: Project) -> Post | None:
    """How schools are written to, in the project's languages; None: there is no connection for it.

    Raises nothing: what is wrong with the connection is found, and told, when a mail is sent.
    """
    try:
        if not is_there():
            return None
    except Exception as error:  # noqa: BLE001 (a report is written whatever a secrets backend meets)
        log.warning("The connection %s cannot be read (%s).", CONN_ID, type(error).__name__)
    from etl_lib.report import Post

    def words(language: str) -> Words:
        return Words.of(project, language if language in project.languages() else FIRST)

    return Post(words, send, project.environment.support or "")


def is_there() -> bool:
    """Whether the connection is there and names a host."""
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return bool(Connection.get(CONN_ID).host)
    except AirflowNotFoundException:
        return False


def send(letter: Letter) -> None:
    """Hand the letter to the mail server.

    Raises TryAgain (MAIL_NOT_SENT) when the server may take it later, FixTheSetup when it, or one of
    the addresses, is refused.
    """
    from email.message import EmailMessage
    from email.utils import formatdate

    message = EmailMessage()
    message["Subject"] = letter.subject
    message["To"] = ", ".join(letter.to)
    message["Date"] = formatdate(localtime=True)
    message["Auto-Submitted"] = "auto-generated"  # holiday notes are not answered to a program
    message.set_content(letter.text)
    with connected() as (client, sender):
        message["From"] = sender
        refused = client.send_message(message)
    if refused:
        many = f"{len(refused)} of {len(letter.to)} addresses"
        raise FixTheSetup.of("MAIL_NOT_SENT", f"The mail server refuses {many} of the contacts.")


@contextmanager
def connected() -> Iterator[tuple[Any, str]]:
    """A client of the mail server, logged in, and the address from which we write; raises as `send`."""
    import smtplib

    from airflow.providers.smtp.hooks.smtp import SmtpHook
    from airflow.sdk.exceptions import AirflowException

    try:
        with SmtpHook(smtp_conn_id=CONN_ID) as hook:
            sender = hook.from_email or hook.smtp_user
            if not sender:
                text = f"The connection `{CONN_ID}` names no sender."
                raise FixTheSetup.of("MAIL_NOT_SENT", text, hint="Put `from_email` in its extra.")
            # the hook's own way to send says nothing of addresses that were refused
            yield hook._smtp_client, sender
    except smtplib.SMTPRecipientsRefused as error:
        codes = {code for code, _ in error.recipients.values()}
        if codes <= set(_TEMPORARY):  # greylisting
            raise TryAgain.of("MAIL_NOT_SENT", "The mail server takes the mail later.") from None
        raise _refused(f"every address of the contacts ({_listed(codes)})") from None
    except smtplib.SMTPResponseException as error:
        if error.smtp_code in _TEMPORARY:
            text = f"The mail server takes the mail later ({error.smtp_code})."
            raise TryAgain.of("MAIL_NOT_SENT", text) from None
        raise _refused(f"us or the mail ({type(error).__name__}, {error.smtp_code})") from None
    except (smtplib.SMTPException, OSError, AirflowException) as error:
        text = f"The mail server does not answer ({type(error).__name__})."
        raise TryAgain.of("MAIL_NOT_SENT", text) from None


def _refused(what: str) -> FixTheSetup:
    return FixTheSetup.of("MAIL_NOT_SENT", f"The mail server refuses {what}.")


def _listed(codes: set[int]) -> str:
    return ", ".join(map(str, sorted(codes)))

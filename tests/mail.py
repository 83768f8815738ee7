"""A real mail server for tests: keeps what it gets, and refuses what it is told to refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from local_stack.processes import free_port


@dataclass
class MailServer:
    """`answers`: what the next mails are answered instead of being taken; `refused`: addresses."""

    mails: list[EmailMessage] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    port: int = 0

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answers:
            return self.answers.pop(0)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    @property
    def connection(self) -> str:
        """The Airflow connection to it."""
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "etl@ours.example"}
        extra["timeout"] = 5
        given = {"conn_type": "smtp", "host": "127.0.0.1", "port": self.port, "extra": extra}
        return json.dumps(given)

    def text(self, number: int = -1) -> str:
        """The words of a mail."""
        body = self.mails[number].get_body()
        assert body is not None
        return str(body.get_content())


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """A server of its own, on a free port."""
    kept = MailServer(port=free_port())  # told nought it would look for itself there
    controller = Controller(kept, hostname="127.0.0.1", port=kept.port)
    controller.start()
    try:
        yield kept
    finally:
        controller.stop()

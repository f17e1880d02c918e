"""A mail server on loopback that keeps what it gets.

with MailServer() as server:
    shop = Shop(folder, SMTP_URL=server.url).up()
    server.wait_for(address, "/reset#").token
"""

import re
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiosmtpd.controller import Controller

from tests.system.platform import eventually
from tests.system.running import free_port


@dataclass(frozen=True)
class Mail:
    """One mail; `token` is that of its link, "" without one."""

    to: str
    text: str

    @property
    def token(self) -> str:
        found = re.search(r"#(\S+)", self.text)
        return found[1] if found else ""


class MailServer:
    """Accepts every mail."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self._controller = Controller(self, hostname="127.0.0.1", port=free_port())

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self._controller.port}"

    def to(self, address: str, about: str = "") -> list[Mail]:
        """Return the mails to an address with this word in them, oldest first."""
        return [mail for mail in self.mails if mail.to == address and about in mail.text]

    def wait_for(self, address: str, about: str) -> Mail:
        """Return the first mail to an address with this word in it, once it has arrived, and forget it."""
        mail: Mail = eventually(lambda: self.to(address, about))[0]
        self.mails.remove(mail)
        return mail

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  the name of aiosmtpd
        self.mails += [Mail(to, envelope.content.decode()) for to in envelope.rcpt_tos]
        return "250 OK"

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._controller.stop()

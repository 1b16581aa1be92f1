"""A real SMTP server (aiosmtpd) with manners to choose, and one that only listens.

    with MailServer() as server: …                    plain
    MailServer(tls=(cert, key))                       offers STARTTLS
    MailServer(tls=…, must_starttls=True)             takes nothing without it
    MailServer(tls=…, is_smtps=True)                  TLS from the first byte
    MailServer(user="u", password="p", mechanisms=["LOGIN"])
    server.refuse["RCPT a@b"] = "550 …"               what is said instead, by command; "DATA" too
    server.slow_s = 5                                 waits before it takes a mail
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import socket
import ssl
import threading
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


@dataclass
class Mail:
    sender: str
    recipients: list[str]
    raw: bytes
    is_tls: bool
    login: str | None  # the mechanism, where there was one

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.raw, policy=email.policy.default)  # type: ignore[return-value]

    @property
    def text(self) -> str:
        return self.message.get_body(("plain",)).get_content()

    @property
    def html(self) -> str:
        return self.message.get_body(("html",)).get_content()


class _Handler:
    def __init__(self, server: "MailServer"):
        self.server = server

    def _said(self, command: str, argument: str = "") -> str | None:
        """A refusal that is there for it; those in a list are used up one by one."""
        for key in (f"{command} {argument}".strip(), command):
            said = self.server.refuse.get(key)
            if isinstance(said, list):
                said = said.pop(0) if said else None
            if said:
                return said
        return None

    async def handle_EHLO(self, _server, session, _envelope, hostname, responses):
        said = self._said("EHLO")
        if said is None:
            session.host_name = hostname
        return [said] if said else responses

    async def handle_MAIL(self, _server, session, envelope, address, options):
        said = self._said("MAIL", address)
        if self.server.user is not None and not session.authenticated:
            said = "530 5.7.0 Authentication required"
        if said is None:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return said or "250 OK"

    async def handle_RCPT(self, _server, _session, envelope, address, options):
        said = self._said("RCPT", address)
        if said is None:
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return said or "250 OK"

    async def handle_DATA(self, _server, session, envelope):
        if self.server.slow_s:
            await asyncio.sleep(self.server.slow_s)
        said = self._said("DATA")
        if said:
            return said
        self.server.mails.append(Mail(envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content,
                                      session.ssl is not None or self.server.is_smtps,
                                      getattr(session, "mechanism", None)))
        return f"250 2.0.0 OK: queued as {len(self.server.mails)}"


@dataclass
class MailServer:
    tls: tuple[Any, Any] | None = None  # files of certificate and key
    must_starttls: bool = False
    is_smtps: bool = False
    user: str | None = None
    password: str = ""
    mechanisms: list[str] = field(default_factory=lambda: ["PLAIN", "LOGIN"])
    auth_refusal: str | None = None  # said in place of a judgement
    refuse: dict[str, str | list[str]] = field(default_factory=dict)
    slow_s: float = 0
    mails: list[Mail] = field(default_factory=list)
    logins: list[tuple[str, str, str]] = field(default_factory=list)  # mechanism, user, password

    def __post_init__(self) -> None:
        context = None
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
        options: dict[str, Any] = {}
        if self.user is not None:
            known = {"PLAIN", "LOGIN"}
            # That a login is required says the handler: aiosmtpd warns of it without its own STARTTLS.
            options = {"authenticator": self._authenticate, "auth_require_tls": False,
                       "auth_exclude_mechanism": known - set(self.mechanisms)}
        if context and not self.is_smtps:
            options |= {"tls_context": context, "require_starttls": self.must_starttls}
        handler = _Handler(self)
        self._sessions: list[SMTP] = []

        def factory():
            self._sessions.append(SMTP(handler, hostname="mail.test", loop=self._loop, **options))
            return self._sessions[-1]

        self._factory = factory
        self._outer_tls = context if self.is_smtps else None

    def _authenticate(self, _server, session, _envelope, mechanism, data):
        assert isinstance(data, LoginPassword)
        self.logins.append((mechanism, data.login.decode(), data.password.decode()))
        session.mechanism = mechanism
        if self.auth_refusal:
            return AuthResult(success=False, handled=False, message=self.auth_refusal)
        good = data.login.decode() == self.user and data.password.decode() == self.password
        return AuthResult(success=good, handled=False, message=None if good else "535 5.7.8 No, no, no")

    def __enter__(self) -> "MailServer":
        ready = threading.Event()
        loop = self._loop = asyncio.new_event_loop()
        def run() -> None:
            asyncio.set_event_loop(loop)
            server = loop.run_until_complete(loop.create_server(
                self._factory, host="127.0.0.1", port=0, ssl=self._outer_tls))
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            loop.run_forever()
            server.close()
            loop.run_until_complete(self._drop_all())
            loop.close()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    async def _drop_all(self) -> None:
        for one in self._sessions:
            # One under TLS may have lost its socket already, which asyncio's abort() does not expect.
            with contextlib.suppress(AttributeError):
                one.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports tell their ends a turn later

    def __exit__(self, *_args) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"{'smtps' if self.is_smtps else 'smtp'}://localhost:{self.port}"


class SilentServer:
    """Takes connections and says nothing, or `greeting` and then nothing."""

    def __init__(self, greeting: bytes = b""):
        self.greeting = greeting
        self.connections: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(sock)
            sock.sendall(self.greeting)

    def __enter__(self) -> "SilentServer":
        return self

    def __exit__(self, *_args) -> None:
        self.listener.close()
        for sock in self.connections:
            sock.close()

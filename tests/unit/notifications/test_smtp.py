"""SMTP against a real server on loopback: every reply, a server that hangs or hangs up, TLS and certificates."""

import asyncio
import email
import email.policy
import ssl
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.notifications import mail, smtp
from services.notifications.mail import Mail, Outcome, ServerUnavailable
from tests.system.running import free_port
from tests.unit.notifications.mailing import use_settings

MAIL = Mail(
    "m1",
    "u1",
    "ada@bücher.example",
    "Ihre Bestellung: bestätigt",
    "Grüße\n\nhttps://shop.example/reset#" + "x" * 80,
    "<p>Grüße</p>",
    "de",
    "2030-01-01T00:00:00.000Z",
)


class Handler:
    """Answers RCPT and DATA as the test says; None is the usual answer."""

    def __init__(self):
        self.rcpt = self.data = None
        self.got, self.hangs, self.connections = [], asyncio.Event(), 0

    async def handle_EHLO(self, server, session, envelope, hostname, responses):  # noqa: N802  names of aiosmtpd
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if self.rcpt:
            return self.rcpt
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.got.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        if self.data == "hang":
            await self.hangs.wait()
        if self.data == "hang up":
            server.transport.abort()
        return self.data or "250 OK"


@contextmanager
def serving(handler, tls=None, **options):
    """Run a server; `tls` is a context for STARTTLS. Yields its port."""
    controller = Controller(handler, hostname="127.0.0.1", port=free_port(), tls_context=tls, **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.loop.call_soon_threadsafe(handler.hangs.set)
        controller.stop()


@pytest.fixture
def handler():
    return Handler()


@pytest.fixture
def certificates(tmp_path):
    """Return (context of a server on 127.0.0.1, PEM of the authority that signed its certificate)."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    authority = tmp_path / "ca.pem"
    authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = tmp_path / "key.pem"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, private)
    return context, authority.read_text()


def send(*mails):
    with mail.transport() as transport:
        return [transport.send(each) for each in mails]


def test_a_mail_has_the_headers_and_parts_that_mail_programs_expect(handler, monkeypatch):
    with serving(handler) as port:
        use_settings(monkeypatch, smtp_url=f"smtp://127.0.0.1:{port}", mail_reply_to="help@shop.example")
        (reply,) = send(MAIL)
    assert (reply.outcome, reply.code) == (Outcome.SENT, 250)
    (got,) = handler.got
    assert (got["Subject"], got["To"]) == (MAIL.subject, "ada@xn--bcher-kva.example")
    assert (got["Reply-To"], got["Auto-Submitted"]) == ("help@shop.example", "auto-generated")
    assert (got["Message-ID"], got["Content-Language"]) == ("<m1@mercato.example>", "de")
    assert got["Date"].datetime == datetime(2030, 1, 1, tzinfo=UTC)
    text, html = got.iter_parts()
    assert ("\n".join(text.get_content().split("\r\n")).strip(), text.get_content_type()) == (MAIL.text, "text/plain")
    assert (html.get_content().strip(), html.get_content_type()) == (MAIL.html, "text/html")


@pytest.mark.parametrize(
    ("command", "answer", "outcome"),
    [
        ("rcpt", "450 4.2.1 mailbox busy", Outcome.DEFERRED),
        ("rcpt", "451 4.7.1 greylisted", Outcome.DEFERRED),
        ("rcpt", "550 5.1.1 ada@bücher.example: no such user".replace("ü", "u"), Outcome.BOUNCED),
        ("rcpt", "550 no such user here", Outcome.BOUNCED),
        ("rcpt", "550 5.7.1 relaying denied", Outcome.REFUSED),
        ("rcpt", "552 5.2.2 mailbox full", Outcome.REFUSED),
        ("data", "451 4.3.0 try later", Outcome.DEFERRED),
        ("data", "554 5.7.1 spam", Outcome.REFUSED),
        ("data", "550 5.1.1 said too late", Outcome.REFUSED),
    ],
)
def test_a_reply_decides_about_its_mail_alone(handler, monkeypatch, command, answer, outcome):
    setattr(handler, command, answer)
    with serving(handler) as port:
        use_settings(monkeypatch, smtp_url=f"smtp://127.0.0.1:{port}")
        with mail.transport() as transport:
            judged = transport.send(MAIL)
            setattr(handler, command, None)
            next_one = transport.send(MAIL._replace(id="m2"))
    assert (judged.outcome, judged.code) == (outcome, int(answer[:3]))
    assert "@" not in judged.text
    assert "ada" not in judged.text
    assert next_one.outcome == Outcome.SENT
    assert handler.connections == 1


@pytest.mark.parametrize("data", ["hang", "hang up"])
def test_a_lost_reply_to_a_mail_is_unknown_and_the_next_mail_gets_another_connection(handler, monkeypatch, data):
    handler.data = data
    monkeypatch.setattr(smtp, "TIMEOUT_S", 0.5)
    with serving(handler) as port:
        use_settings(monkeypatch, smtp_url=f"smtp://127.0.0.1:{port}")
        with mail.transport() as transport:
            lost = transport.send(MAIL)
            handler.data = None
            assert transport.send(MAIL._replace(id="m2")).outcome == Outcome.SENT
    assert lost.outcome == Outcome.UNKNOWN
    assert handler.connections == 2
    assert [got["Message-ID"] for got in handler.got] == ["<m1@mercato.example>", "<m2@mercato.example>"]


def test_a_connection_lost_before_the_mail_is_sent_defers_it(handler, monkeypatch):
    handler.rcpt = "421 4.3.2 shutting down"
    with serving(handler) as port:
        use_settings(monkeypatch, smtp_url=f"smtp://127.0.0.1:{port}")
        assert [each.outcome for each in send(MAIL, MAIL)] == [Outcome.DEFERRED, Outcome.DEFERRED]
    assert handler.connections == 2
    assert handler.got == []


def test_credentials_are_sent_over_tls_to_a_verified_server_only(handler, monkeypatch, certificates):
    context, authority = certificates
    seen = []

    def authenticate(server, session, envelope, mechanism, data):
        seen.append((data.login, data.password, session.ssl is not None))
        return AuthResult(success=data.password == b"p/w", handled=False)

    options = {"authenticator": authenticate, "auth_require_tls": False}
    with serving(handler, **options) as plain, serving(Handler(), tls=context, **options) as with_starttls:
        use_settings(monkeypatch, smtp_url=f"smtp://shop:p%2Fw@127.0.0.1:{plain}", smtp_ca=authority)
        with pytest.raises(ServerUnavailable, match="STARTTLS"):
            send(MAIL)
        use_settings(monkeypatch, smtp_url=f"smtp://shop:p%2Fw@127.0.0.1:{with_starttls}")
        with pytest.raises(ServerUnavailable, match="(?i)certificate"):
            send(MAIL)
        assert seen == []
        use_settings(monkeypatch, smtp_url=f"smtp://shop:p%2Fw@127.0.0.1:{with_starttls}", smtp_ca=authority)
        assert send(MAIL)[0].outcome == Outcome.SENT
        use_settings(monkeypatch, smtp_url=f"smtp://shop:wrong@127.0.0.1:{with_starttls}", smtp_ca=authority)
        with pytest.raises(ServerUnavailable, match="535") as error:
            send(MAIL)
    assert "wrong" not in str(error.value)
    assert seen[0] == (b"shop", b"p/w", True)
    assert {each[1:] for each in seen[1:]} == {(b"wrong", True)}


def test_smtps_speaks_tls_from_the_first_byte_and_verifies_the_server(handler, monkeypatch, certificates):
    context, authority = certificates
    with serving(handler, ssl_context=context) as port:
        use_settings(monkeypatch, smtp_url=f"smtps://127.0.0.1:{port}", smtp_ca=authority)
        assert send(MAIL)[0].outcome == Outcome.SENT
        use_settings(monkeypatch, smtp_url=f"smtps://127.0.0.1:{port}")
        with pytest.raises(ServerUnavailable, match="(?i)certificate"):
            send(MAIL)


def test_a_server_that_requires_starttls_gets_it_without_credentials_too(handler, monkeypatch, certificates):
    context, authority = certificates
    with serving(handler, tls=context, require_starttls=True) as port:
        use_settings(monkeypatch, smtp_url=f"smtp://127.0.0.1:{port}", smtp_starttls="required", smtp_ca=authority)
        assert send(MAIL)[0].outcome == Outcome.SENT


def test_an_address_outside_ascii_needs_smtputf8(handler, monkeypatch):
    unicode = MAIL._replace(address="jürgen@bücher.example")
    with serving(handler, enable_SMTPUTF8=True) as able, serving(Handler(), enable_SMTPUTF8=False) as unable:
        use_settings(monkeypatch, smtp_url=f"smtp://127.0.0.1:{able}")
        assert send(unicode)[0].outcome == Outcome.SENT
        use_settings(monkeypatch, smtp_url=f"smtp://127.0.0.1:{unable}")
        assert send(unicode)[0].outcome == Outcome.REFUSED
    assert handler.got[0]["To"] == "jürgen@xn--bcher-kva.example"


@pytest.mark.parametrize("url", ["mail.example", "http://mail.example", "smtp://", "smtp:mail.example"])
def test_another_url_is_refused_in_one_line_without_its_secret(url):
    from services.notifications.settings import NotificationsSettings

    with pytest.raises(ValueError, match="smtp://user:password@host:port"):
        NotificationsSettings(smtp_url=url)

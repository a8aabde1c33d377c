"""A real SMTP server and a real web service on this machine, for the tests that deliver."""

import datetime
import http.server
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

USER, PASSWORD = "churn@example.com", "canary/hunter2@:%"


class Mailbox:
    """What arrived, by recipient; addresses in `refused` are turned away."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, EmailMessage]] = []
        self.refused: set[str] = set()
        self.port = 0
        self.n_logins = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # fmt: skip # noqa: N802
        if address in self.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        mail = message_from_bytes(envelope.content, policy=policy.default)
        self.mails += [(address, mail) for address in envelope.rcpt_tos]
        return "250 taken"


@contextmanager
def started(home: Path, *, security: str = "none", has_login: bool = False) -> Iterator[Mailbox]:
    """A server on a free port; with `security` its certificate is `home/server.pem`."""
    controller = pytest.importorskip("aiosmtpd.controller", reason="aiosmtpd is not installed")
    smtp = pytest.importorskip("aiosmtpd.smtp")
    box = Mailbox()
    settings: dict[str, Any] = {"hostname": "127.0.0.1", "port": 0}

    def judge(server: Any, session: Any, envelope: Any, how: str, data: Any) -> Any:
        box.n_logins += 1
        is_right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return smtp.AuthResult(success=is_right, handled=False)

    if has_login:
        has_to = security == "starttls"  # aiosmtpd does not see that a whole session is encrypted
        settings |= {"authenticator": judge, "auth_required": has_to, "auth_require_tls": has_to}
    if security != "none":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate(home))
        is_ssl = security == "ssl"
        settings |= {"ssl_context": context} if is_ssl else {"tls_context": context, "require_starttls": True}  # fmt: skip

    class Server(controller.Controller):  # type: ignore[misc]
        def _trigger_server(self) -> None:
            """aiosmtpd asks the port it was given whether it answers; 0 is any free one."""
            self.port = self.server.sockets[0].getsockname()[1]
            super()._trigger_server()

    server = Server(box, **settings)
    server.start()
    box.port = server.port
    try:
        yield box
    finally:
        server.stop()


def certificate(home: Path) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    path = home / "server.pem"
    if path.exists():
        return path
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(encoding))
    return path


@contextmanager
def service(*, status: int = 200) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """A web service that keeps the JSON it is sent, and answers with `status`: port, what came."""
    came: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing of it on the test's error stream."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port, came
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

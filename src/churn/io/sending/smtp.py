"""Mails to a server: TLS and login as the settings say, failures in our words, no secret in them."""

import email
import email.policy
import hashlib
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage

from churn.errors import ChurnError, ConfigurationError, MachineError
from churn.io import secret
from churn.settings.deliver import DeliverSettings

LOCAL = ("localhost", "127.0.0.1", "::1")


def addressed(content: str, *, sender: str, recipient: str) -> EmailMessage:
    """The mail of an `.eml` from and to somebody, with a Message-ID made from all three: the same
    mail to the same person has the same."""
    mail = email.message_from_string(content, policy=email.policy.SMTP)
    assert isinstance(mail, EmailMessage)
    mark = hashlib.sha256("\x00".join([recipient, content]).encode()).hexdigest()[:32]
    for name in ("From", "To", "Message-ID"):
        del mail[name]
    mail["From"], mail["To"] = sender, recipient
    mail["Message-ID"] = f"<{mark}@{sender.rpartition('@')[2]}>"
    return mail


def credentials(deliver: DeliverSettings) -> tuple[str, str] | None:
    """User and password from the environment, or the files it names; None where neither is set.

    Raises `ConfigurationError` for one without the other, and for a password that would travel
    readable to another machine.
    """
    names = (deliver.user_variable, deliver.password_variable)
    user, password = (secret.read(name) for name in names)
    if bool(user) != bool(password):
        missing = names[0] if password else names[1]
        raise ConfigurationError(
            "the mail server's user and password belong together",
            got=f"no {missing} in the environment",
            expected=f"both {names[0]} and {names[1]}, or neither",
            next_step=f"export {missing}=…",
        )
    if not user:
        return None
    if deliver.security == "none" and deliver.host not in LOCAL:
        raise ConfigurationError(
            "deliver.security=none would send the password readable over the network",
            got=f"a login at {deliver.host} without TLS",
            expected="starttls or ssl",
            next_step="set deliver.security=starttls",
        )
    return user, password


@contextmanager
def connected(deliver: DeliverSettings) -> Iterator[smtplib.SMTP]:
    """A session with the server, encrypted and logged in; certificates are checked.

    Raises `MachineError` where there is none to be had.
    """
    login = credentials(deliver)
    host, timeout = str(deliver.host), deliver.timeout_seconds
    server: smtplib.SMTP
    with in_our_words(deliver):
        if deliver.security == "ssl":
            context = ssl.create_default_context()
            server = smtplib.SMTP_SSL(host, deliver.port, timeout=timeout, context=context)
        else:
            server = smtplib.SMTP(host, deliver.port, timeout=timeout)
    try:
        with in_our_words(deliver):
            if deliver.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if login:
                server.login(*login)
        yield server
    finally:
        _leave(server)


def _leave(server: smtplib.SMTP) -> None:
    try:
        server.quit()
    except (smtplib.SMTPException, OSError):
        server.close()


@contextmanager
def in_our_words(deliver: DeliverSettings) -> Iterator[None]:
    """What the library raises as a `MachineError`; neither user nor password stand in it."""
    try:
        yield
    except (smtplib.SMTPException, OSError) as error:
        raise _failure(error, deliver) from None


def _failure(error: Exception, deliver: DeliverSettings) -> ChurnError:
    said = str(error)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        said = "; ".join(f"{code} {_readable(words)}" for code, words in error.recipients.values())
    elif isinstance(error, smtplib.SMTPResponseException):
        said = f"{error.smtp_code} {_readable(error.smtp_error)}"
    for name in (deliver.user_variable, deliver.password_variable):
        said = said.replace(secret.read(name) or "\x00", "***")
    hints = {
        smtplib.SMTPAuthenticationError: f"check {deliver.user_variable} and {deliver.password_variable}",
        smtplib.SMTPNotSupportedError: "check deliver.security",
        ssl.SSLError: "check deliver.host, deliver.port and deliver.security",
        smtplib.SMTPRecipientsRefused: "correct the address in deliver.head or deliver.owners",
    }
    kinds = [hint for kind, hint in hints.items() if isinstance(error, kind)]
    return MachineError(
        f"the mail server {deliver.host}:{deliver.port} does not take it",
        got=said[:300] or type(error).__name__,
        expected="a server that accepts the mail",
        next_step=kinds[0] if kinds else "check deliver.host and deliver.port",
    )


def _readable(words: bytes | str) -> str:
    text = words.decode(errors="replace") if isinstance(words, bytes) else words
    return " ".join(text.split())

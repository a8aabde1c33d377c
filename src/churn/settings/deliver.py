"""Who gets the list by mail, from which server, and who else is told."""

import re
from dataclasses import dataclass, field

from churn.errors import ConfigurationError, between
from churn.settings.checks import one_of, variable

SECURITY = ["starttls", "ssl", "none"]

ADDRESS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(\.[\w-]+)*", re.ASCII)
"""One plain address, as the HTML standard has it: a line break would add headers of its own."""

URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s@?#*]+", re.ASCII)
"""A scheme and a place, nothing that a secret could stand in."""


@dataclass
class DeliverSettings:
    """Mail by SMTP and notifications by Apprise (conf/deliver); without `host` no mail is sent.

    `head` gets the digest of the whole list, each of `owners` (name in the list → address) the one
    of their customers. `security` is starttls, ssl or none. User and password stand in the
    environment variables `user_variable` and `password_variable`, an Apprise URL, which holds a
    secret, in each of the variables that `notify` names. `copy_to` is a URL (s3://BUCKET/PREFIX,
    file:///FOLDER) that gets a copy of every revision; its credentials stand in the environment.
    """

    host: str | None = None
    port: int = 587
    security: str = "starttls"
    sender: str = "churn@localhost"
    head: str | None = None
    owners: dict[str, str] = field(default_factory=dict)
    user_variable: str = "CHURN_SMTP_USER"
    password_variable: str = "CHURN_SMTP_PASSWORD"  # noqa: S105 - the name, not the password
    timeout_seconds: int = 30
    notify: list[str] = field(default_factory=list)
    copy_to: str | None = None

    def __post_init__(self) -> None:
        one_of("deliver.security", self.security, SECURITY)
        between("deliver.port", self.port, 1, 65_535)
        between("deliver.timeout_seconds", self.timeout_seconds, 1, 600)
        variable("deliver.user_variable", self.user_variable, example="CHURN_SMTP_USER")
        variable("deliver.password_variable", self.password_variable, example="CHURN_SMTP_PASSWORD")
        for name in self.notify:
            variable("deliver.notify", name, example="CHURN_NOTIFY_URL")
        if self.copy_to is not None and not URL.fullmatch(self.copy_to):
            raise ConfigurationError(
                "deliver.copy_to is not a plain URL",
                got="something else (not shown: it may hold a password)",
                expected="such as s3://BUCKET/PREFIX or file:///FOLDER, without user, password or query",
                next_step="write the place alone; credentials stand in the environment",
            )
        for key, given in {"sender": self.sender, "head": self.head}.items():
            _address(f"deliver.{key}", given) if given is not None else None
        for owner, given in self.owners.items():
            _address(f"deliver.owners.{owner}", given)


def _address(key: str, given: str) -> None:
    if not ADDRESS.fullmatch(given):
        raise ConfigurationError(
            f"{key} is not an e-mail address",
            got=repr(given),
            expected="one plain address such as success@example.com",
            next_step=f"correct {key}",
        )

"""`churn deliver`: the mails and notices of the current list, and what could not be delivered before."""

from churn.errors import ConfigurationError, HeldBackError
from churn.io import delivery, gauges, publish
from churn.io.lock import held
from churn.settings import Settings


def run(settings: Settings) -> None:
    """Send what has not arrived yet; what fails waits, and exits 6."""
    if not delivery.is_wanted(settings.deliver):
        raise ConfigurationError(
            "there is no way to deliver anything",
            got="neither deliver.host, deliver.notify nor deliver.copy_to",
            expected="a mail server, a service to notify, or a place for a copy",
            next_step="set deliver.host and deliver.head; the mails stand beside the list as .eml",
        )
    delivery.require(settings.deliver)
    if publish.current(settings.place / "published") is None:
        raise HeldBackError(
            "no list was ever published here",
            got=f"nothing in {settings.place / 'published'}",
            expected="a published list",
            next_step="run `churn weekly`",
        )
    with held(settings.place, doing="deliver"):
        try:
            delivery.send(settings.deliver, place=settings.place)
        finally:
            gauges.delivered(settings)

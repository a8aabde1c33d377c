"""`churn deliver`: mails, notices and the copy of the current list, and all that could not be sent before."""

from churn.errors import ConfigurationError, DeliveryError, HeldBackError
from churn.io import revisions
from churn.io.lock import held
from churn.io.sending import delivery, sink
from churn.io.weekly import gauges
from churn.settings import Settings


def run(settings: Settings) -> None:
    """Send what has not arrived yet; what fails waits, and exits 6."""
    sink.require(settings.sink)
    if not (delivery.is_wanted(settings.deliver) or settings.sink.name != "none"):
        raise ConfigurationError(
            "there is no way to deliver anything",
            got="neither deliver.host, deliver.notify, deliver.copy_to nor sink=sql",
            expected="a mail server, a service to notify, a place for a copy, or a database",
            next_step="set deliver.host and deliver.head; the mails stand beside the list as .eml",
        )
    delivery.require(settings.deliver)
    if revisions.current(settings.place / "published") is None:
        raise HeldBackError(
            "no list was ever published here",
            got=f"nothing in {settings.place / 'published'}",
            expected="a published list",
            next_step="run `churn weekly`",
        )
    with held(settings.place, doing="deliver"):
        try:
            unsent: list[DeliveryError] = sink.spooled(settings.sink, [], place=settings.place)
            unsent += delivery.unsent(settings.deliver, place=settings.place)
        finally:
            gauges.delivered(settings)
    if unsent:
        raise unsent[0]

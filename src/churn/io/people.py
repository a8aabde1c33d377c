"""The files that people open, side by side in the folder of a week."""

import hashlib
import re
import shutil
import unicodedata
from pathlib import Path

from churn.io import export, mail, page, tables, workbook
from churn.io.handout import Listing
from churn.settings.deliver import DeliverSettings

FILES = ("retention_list.csv", "retention_list.xlsx", "retention_list.html", "digest.eml")
DIGESTS = "digests"
"""The folder of the owners' digests; `digest.eml` is the one of the whole list."""


def write(listing: Listing, folder: Path, *, deliver: DeliverSettings) -> None:
    """Write everything that people open of one week's list into `folder`.

    CSV, workbook, page, the digest of the whole list and one per owner, addressed as `deliver` says.
    What an earlier run left in `digests/` is removed.
    """
    tables.write_bytes(folder / "retention_list.csv", export.csv_bytes(listing.rows))
    tables.write_bytes(folder / "retention_list.xlsx", workbook.workbook_bytes(listing))
    tables.write_bytes(folder / "retention_list.html", page.page_html(listing).encode())
    digest = mail.digest_eml(listing, sender=deliver.sender, recipient=deliver.head)
    tables.write_bytes(folder / "digest.eml", digest)
    shutil.rmtree(folder / DIGESTS, ignore_errors=True)
    owners = mail.owner_digests(listing, sender=deliver.sender, recipients=deliver.owners)
    for owner, content in owners.items():
        (folder / DIGESTS).mkdir(exist_ok=True)
        tables.write_bytes(folder / DIGESTS / f"{plain_name(owner)}.eml", content)


def files(folder: Path) -> list[str]:
    """What `write` left in `folder`, as paths below it; nothing else there is for people."""
    digests = sorted(path.name for path in (folder / DIGESTS).glob("*.eml"))
    return [*FILES, *(f"{DIGESTS}/{name}" for name in digests)]


def plain_name(owner: str) -> str:
    """A file name for an owner: readable, and another one for every other owner.

    >>> plain_name("Tomás Ferreira")
    'tomas-ferreira-76ef30'
    """
    letters = unicodedata.normalize("NFKD", owner).encode("ascii", "ignore").decode().lower()
    readable = re.sub("[^a-z0-9]+", "-", letters).strip("-")[:40]
    mark = hashlib.sha256(owner.encode(errors="surrogatepass")).hexdigest()[:6]
    return f"{readable}-{mark}".lstrip("-")

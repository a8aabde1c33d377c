"""The files that people open, side by side in the folder of a week."""

import hashlib
import re
import shutil
import unicodedata
from pathlib import Path

from churn.io import tables
from churn.io.documents import export, listing_file, mail, page, workbook
from churn.io.documents.handout import Listing

DIGEST = "digest.eml"
STALE, LISTING = "stale.eml", "listing.json"
FILES = ("retention_list.csv", "retention_list.xlsx", "retention_list.html", DIGEST, LISTING)
DIGESTS = "digests"
"""The folder of the owners' digests; `DIGEST` is the one of the whole list."""


def write(listing: Listing, folder: Path) -> None:
    """Write everything that people open of one week's list into `folder`.

    CSV, workbook, page, the digest of the whole list and one per owner, none with an address; and
    what they were made from beside the rows, so that `churn forget` can make them again without
    somebody. What an earlier run left in `digests/` is removed.
    """
    tables.write_bytes(folder / "retention_list.csv", export.csv_bytes(listing.rows))
    tables.write_bytes(folder / "retention_list.xlsx", workbook.workbook_bytes(listing))
    tables.write_bytes(folder / "retention_list.html", page.page_html(listing).encode())
    tables.write_bytes(folder / DIGEST, mail.digest_eml(listing))
    tables.write_bytes(folder / LISTING, listing_file.to_bytes(listing))
    shutil.rmtree(folder / DIGESTS, ignore_errors=True)
    for owner, content in mail.owner_digests(listing).items():
        (folder / DIGESTS).mkdir(exist_ok=True)
        tables.write_bytes(folder / digest_of(owner), content)


def files(folder: Path) -> list[str]:
    """What `write` left in `folder`, as paths below it."""
    digests = sorted(path.name for path in (folder / DIGESTS).glob("*.eml"))
    return [*FILES, *(f"{DIGESTS}/{name}" for name in digests)]


def digest_of(owner: str) -> str:
    """The file of an owner's digest, as `files` names it."""
    return f"{DIGESTS}/{plain_name(owner)}.eml"


def plain_name(owner: str) -> str:
    """A file name for an owner: readable, and another one for every other owner.

    >>> plain_name("Tomás Ferreira")
    'tomas-ferreira-76ef30'
    """
    letters = unicodedata.normalize("NFKD", owner).encode("ascii", "ignore").decode().lower()
    readable = re.sub("[^a-z0-9]+", "-", letters).strip("-")[:40]
    mark = hashlib.sha256(owner.encode(errors="surrogatepass")).hexdigest()[:6]
    return f"{readable}-{mark}".lstrip("-")

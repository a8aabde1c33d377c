"""The licences of everything that is installed: `python docs/licences.py` prints docs/licences.md.

With --check it exits 1 when a pinned package has a licence that nobody has agreed to. A package that
is pinned for another platform and not installed here is judged where it is.
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints"

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0",
    "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Unlicense", "ZPL-2.1", "Zlib",
}  # fmt: skip
"""Permissive, or copyleft for a file alone: what uses them may be used and passed on as it is."""

AGREED = {
    "asyncssh": "EPL-2.0 or GPL-2.0, comes with the extra `dvc` alone; not imported by us",
    "grandalf": "GPL-2.0, comes with the extra `dvc` alone; not imported by us",
    "libfaketime": "GPL-2.0, for tests alone, as a program beside them",
    "psycopg": "LGPL-3.0, comes with the extra `sql`; used as the library it is",
    "psycopg-binary": "LGPL-3.0, as psycopg",
    "pygit2": "GPL-2.0 with linking exception, comes with the extra `dvc`",
}
"""Licences outside the list, each with why it is agreed to."""

SAID = {
    "huey": "MIT", "skops": "MIT",
}  # fmt: skip
"""Packages that ship a licence file and say nothing in their metadata."""

SPELLINGS = {
    "MIT License": "MIT", "The MIT License": "MIT", "MIT license": "MIT",
    "BSD": "BSD-3-Clause", "BSD License": "BSD-3-Clause", "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0", "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0", "Apache License, Version 2.0": "Apache-2.0",
    "ISC License (ISCL)": "ISC", "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0", "Zope Public License": "ZPL-2.1",
}  # fmt: skip


def pinned(name: str) -> list[str]:
    """The packages of a file of constraints."""
    text = (CONSTRAINTS / f"{name}.txt").read_text()
    return sorted(set(re.findall(r"^([A-Za-z0-9_.-]+)==", text, re.MULTILINE)))


def licence(package: str) -> str | None:
    """The licence of an installed package as SPDX says it where we know how; None: not installed."""
    try:
        known = metadata(package)
    except PackageNotFoundError:
        return None
    kinds = [
        one.split(" :: ")[-1] for one in known.get_all("Classifier") or [] if "License ::" in one
    ]
    kinds = [one for one in kinds if one != "OSI Approved"]
    first = (known.get("License") or "").strip().split("\n")[0]
    said = (
        known.get("License-Expression") or " AND ".join(SPELLINGS.get(k, k) for k in kinds) or first
    )
    return SAID.get(package) or SPELLINGS.get(said, said) or "not said"


def is_allowed(said: str) -> bool:
    """Whether an SPDX expression can be met with allowed licences alone.

    >>> is_allowed("MPL-2.0 AND (Apache-2.0 OR GPL-2.0-only)"), is_allowed("MIT AND GPL-2.0-only")
    (True, False)
    """
    inner = re.search(r"\(([^()]*)\)", said)
    if inner and said not in ALLOWED:
        verdict = "MIT" if is_allowed(inner[1]) else "refused"
        return is_allowed(said.replace(inner[0], verdict))
    return any(
        all(part.strip() in ALLOWED for part in choice.split(" AND "))
        for choice in said.split(" OR ")
    )


def refused() -> Iterator[str]:
    """Packages whose licence nobody has agreed to, in words."""
    for package in pinned("test"):
        said = licence(package)
        if said and not is_allowed(said) and package not in AGREED:
            yield f"{package}: {said}"


def page() -> str:
    """The list as Markdown."""
    product = set(pinned("run"))
    rows = ["| package | licence | |", "|---|---|---|"]
    for package in pinned("test"):
        said = licence(package)
        if said:
            where = "" if package in product else "extras and tests"
            rows.append(f"| {package} | {AGREED.get(package, said)} | {where} |")
    return (
        "# Licences\n\nWhat is installed beside the product (MIT), made by `python docs/licences.py` from "
        "the packages' own words;\n`make check` refuses a licence that nobody has agreed to.\n\n"
        + "\n".join(rows) + "\n"
    )  # fmt: skip


if __name__ == "__main__":
    if "--check" in sys.argv:
        found = list(refused())
        sys.exit("licences to agree to in docs/licences.py:\n" + "\n".join(found) if found else 0)
    sys.stdout.write(page())

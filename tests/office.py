"""A real LibreOffice that opens a workbook, does what a person does, and saves it."""

import os
import shutil
import subprocess
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

SOFFICE = shutil.which("soffice") or shutil.which("libreoffice")
MODULE = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE script:module PUBLIC "-//OpenOffice.org//DTD OfficeDocument 1.0//EN" "module.dtd">
<script:module xmlns:script="http://openoffice.org/2000/script" script:name="Module1"
 script:language="StarBasic">{}</script:module>
"""
OPENING = """
Function Prop(Name, Value)
  Dim One As New com.sun.star.beans.PropertyValue
  One.Name = Name
  One.Value = Value
  Prop = One
End Function
Sub Store(Document, Url, Filter, Options)
  Document.storeToURL(Url, Array(Prop("FilterName", Filter), Prop("FilterOptions", Options)))
End Sub
Sub Main
  Document = StarDesktop.loadComponentFromURL("{url}", "_blank", 0, Array(Prop("Hidden", True){options}))
  Sheet = Document.Sheets.getByIndex(0)
"""
CLOSING = """
  Document.close(True)
End Sub
"""
XLSX = '"Calc MS Excel 2007 XML", ""'
GERMAN_CSV = '"Text - txt - csv (StarCalc)", "59,34,76,1,,1031,false,true"'
"""What Save As is told: the format and its options (separator, quote, UTF-8, language)."""


def formulas(file: Path, home: Path, *, separator: str = "") -> int:
    """How many cells of all sheets LibreOffice takes for formulas; a CSV is split at `separator`, and
    LibreOffice is asked to evaluate what looks like a formula."""
    count = home / "count"
    macro = f"""
    N = 0
    For Each One In Document.Sheets
      For Each Part In One.queryContentCells(16)
        N = N + Part.Rows.Count * Part.Columns.Count
      Next
    Next
    Open "{count}" For Output As #1
    Print #1, N
    Close #1
    """
    options = ""
    if separator:
        words = f"{ord(separator)},34,76,1,,1033,false,true,false,false,false,0,true"
        named = '"FilterName", "Text - txt - csv (StarCalc)"'
        options = f', Prop({named}), Prop("FilterOptions", "{words}")'
    home.mkdir(exist_ok=True)
    worked_in(file, macro, home, options=options)
    return int(count.read_text())


def worked_in(file: Path, macro: str, home: Path, *, options: str = "") -> None:
    """Run Basic statements on `Document` and its first sheet (`Sheet`), in a profile of our own.

    Skips where there is no LibreOffice.
    """
    if SOFFICE is None:
        pytest.skip("LibreOffice (soffice) is not installed")
    _soffice(home, "--terminate_after_init")  # lays the profile out, with an empty Module1
    program = (
        OPENING.replace("{url}", file.as_uri()).replace("{options}", options) + macro + CLOSING
    )
    place = home / "profile" / "user" / "basic" / "Standard" / "Module1.xba"
    place.write_text(MODULE.format(escape(program)))
    _soffice(home, "macro:///Standard.Module1.Main")


def _soffice(home: Path, word: str) -> None:
    profile = f"-env:UserInstallation={(home / 'profile').as_uri()}"
    command = [str(SOFFICE), profile, "--headless", "--norestore", "--nolockcheck", word]
    environment = {**os.environ, "HOME": str(home)}
    subprocess.run(command, check=True, timeout=120, env=environment, capture_output=True)

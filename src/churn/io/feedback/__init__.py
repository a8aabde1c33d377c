"""What CS did with a list, read back: workbook, CSV or a table of a database."""

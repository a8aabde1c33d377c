"""What people open: the list as page, workbook, CSV and mail, and what is told of each customer."""

"""Where results go: mails, notices, copies, databases, the status that everybody sees; what waits."""

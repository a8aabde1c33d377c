"""The source as it is now: files, databases, Spark → checked deliveries, clean events, side tables."""

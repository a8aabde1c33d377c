"""The weekly job: gates, revisions, what is remembered of a week, gauges, models in a process apart."""

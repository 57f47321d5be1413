"""Logs, metrics and the event-loop watchdog."""

"""Logs, metrics and the event-loop watchdog, which the application builds. It has no public names."""

__all__: list[str] = []

"""Events: appended in the caller's transaction, and applied once by each consumer, in the order of their commits."""

from restwell.events._consumer import Consumer, EventsMissing
from restwell.events._outbox import EventBatch, EventReader, Events
from restwell.events._queries import StoredEvent
from restwell.events._topic import Event, Topic

__all__ = ["Consumer", "Event", "EventBatch", "EventReader", "Events", "EventsMissing", "StoredEvent", "Topic"]

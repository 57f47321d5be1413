"""When a job is due: cron expressions, read by the wall clock of a time zone."""

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from restwell.errors import ConfigurationError

LATE: Final = timedelta(minutes=1)


class Cron:
    """``text`` in the five fields of cron, or six with seconds first, read as the wall clock of ``timezone`` (an IANA name).

    Where clocks go forward, a tick in the hour that is left out comes right after it; where they go back, one that is meant for
    a certain time comes once (as cronsim does, after Debian's cron).
    """

    def __init__(self, text: str, timezone: str) -> None:
        self.text = text
        try:
            self._zone = ZoneInfo(timezone)
            next(CronSim(text, datetime.now(self._zone)))
        except (ZoneInfoNotFoundError, ValueError):
            raise ConfigurationError([f"cron {text!r}: no time zone {timezone!r}"]) from None
        except (CronSimError, StopIteration) as error:
            raise ConfigurationError([f"cron {text!r} cannot be read: {error!r}"]) from None

    def between(self, last: datetime, now: datetime) -> list[datetime]:
        """The ticks after ``last`` and up to ``now`` for which there should be a job now, oldest first, in UTC.

        All of the last minute; of those that everyone has slept through, only the newest.
        """
        due = self._ticks(max(last, now - LATE), now)
        if due or now - last <= LATE:
            return due
        newest = self._utc(next(CronSim(self.text, now.astimezone(self._zone), reverse=True)))
        return [newest] if newest > last else []

    def is_wrong(self, last: datetime, now: datetime) -> bool:
        """Whether ``last`` cannot be the newest tick: it is later than the next, so a clock was wrong when it was stored.

        Not for the minute by which a clock may be set back.
        """
        return last > now + LATE and last > self._utc(next(CronSim(self.text, now.astimezone(self._zone))))

    def _ticks(self, after: datetime, until: datetime) -> list[datetime]:
        ticks = map(self._utc, CronSim(self.text, after.astimezone(self._zone)))
        # In the hour that comes twice, some are before `after`: they came when that hour came first.
        return [tick for tick in takewhile(lambda tick: tick <= until, ticks) if tick > after]

    @staticmethod
    def _utc(tick: datetime) -> datetime:
        return tick.astimezone(UTC)

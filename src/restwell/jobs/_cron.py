"""Cron expressions in the wall-clock time of a time zone."""

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from restwell.errors import ConfigurationError

MISFIRE_GRACE: Final = timedelta(minutes=1)
"""Every run missed within this time is made up for; of older runs, only the newest."""


class Cron:
    """``text`` has the five fields of cron, or six with seconds first. ``timezone`` is an IANA name.

    When clocks go forward, a run in the skipped hour is due right after it. When they go back, a run at a fixed time
    is due once. These are the rules of cronsim, which follow Debian's cron. Raises ConfigurationError for an invalid
    expression or time zone.
    """

    def __init__(self, text: str, timezone: str) -> None:
        self.text = text
        self.timezone = timezone
        try:
            self._zone = ZoneInfo(timezone)
            next(CronSim(text, datetime.now(self._zone)))
        except (ZoneInfoNotFoundError, ValueError):
            raise ConfigurationError([f"cron {text!r}: no time zone {timezone!r}"]) from None
        except (CronSimError, StopIteration) as error:
            raise ConfigurationError(
                [f"cron {text!r} cannot be read ({error}): write five fields, such as 0 3 * * *"]
            ) from None

    def due_between(self, last: datetime, now: datetime) -> list[datetime]:
        """The scheduled times after ``last`` and up to ``now`` that need a job, oldest first, in UTC.

        Includes every scheduled time within MISFIRE_GRACE. If there is none, includes the newest of the missed ones.
        """
        due = self._scheduled_times(max(last, now - MISFIRE_GRACE), now)
        if due or now - last <= MISFIRE_GRACE:
            return due
        newest = self._utc(next(CronSim(self.text, now.astimezone(self._zone), reverse=True)))
        return [newest] if newest > last else []

    def next_after(self, now: datetime) -> datetime:
        """The first scheduled time after ``now``, in UTC."""
        return self._utc(next(CronSim(self.text, now.astimezone(self._zone))))

    def is_in_future(self, last: datetime, now: datetime) -> bool:
        """Whether ``last`` is later than the next scheduled time, so a clock was wrong when it was stored.

        A clock may be set back by up to MISFIRE_GRACE.
        """
        return last > now + MISFIRE_GRACE and last > self.next_after(now)

    def _scheduled_times(self, after: datetime, until: datetime) -> list[datetime]:
        times = map(self._utc, CronSim(self.text, after.astimezone(self._zone)))
        # In the repeated hour, some times precede `after`: they were due in the first pass of that hour.
        return [time for time in takewhile(lambda time: time <= until, times) if time > after]

    @staticmethod
    def _utc(time: datetime) -> datetime:
        return time.astimezone(UTC)

"""The metric of failed sign-ins. Accounts, which need an extra, count them; dashboards, which do not, show them."""

from typing import Final

from restwell.observability._metric_families import define_counter

LOGIN_FAILURES: Final = define_counter(
    "restwell_login_failures_total",
    "Failed sign-ins and confirmations: a wrong password or second factor, or throttled after too many.",
    "reason",
)

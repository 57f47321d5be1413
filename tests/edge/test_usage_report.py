"""What is made of the metrics of the usage."""

from datetime import UTC, datetime

from restwell.edge._usage_report import DeprecatedRequests, Deprecation, VersionRequests, usage_report

V1 = {"method": "", "route": "/v1", "deprecated": "2026-01-01", "sunset": "2027-01-01", "successor": "/v2", "guide": ""}
OLD = {**V1, "method": "GET", "route": "/v1/old", "sunset": "2026-07-01 12:00:00"}
OTHER = {**V1, "route": "/v10", "sunset": ""}


def test_requests_belong_to_the_deprecation_of_their_route_or_of_its_version() -> None:
    """Fails if the value of the gauge, the number of processes, is a number of requests."""
    calls = [("GET", "/v1/old", "user", 2.0), ("GET", "/v1/things", "user", 3.0), ("", "", "", 7.0)]
    report = usage_report(
        {
            "restwell_api_deprecation_info": [(V1, 1.0), (OTHER, 1.0), (OLD, 1.0)],
            "restwell_api_requests": [
                ({"version": "/v1", "client": "user"}, 5.0),
                ({"version": "", "client": ""}, 7.0),
            ],
            "restwell_deprecated_requests": [
                ({"method": method, "route": route, "client": client}, value) for method, route, client, value in calls
            ],
        }
    )
    assert [(each.route, each.requests) for each in report.deprecations] == [("/v1/old", 2), ("/v1", 3), ("/v10", 0)]
    assert report.versions == [VersionRequests("", "", 7), VersionRequests("/v1", "user", 5)]
    assert report.callers[1:] == [
        DeprecatedRequests("GET", "/v1/things", "user", 3),
        DeprecatedRequests("GET", "/v1/old", "user", 2),
    ]


def test_the_state_follows_from_the_dates() -> None:
    deprecation = Deprecation(**OLD, requests=0)
    for hour, sunset, state in (
        (datetime(2025, 12, 31, 23, tzinfo=UTC), "", "announced"),
        (datetime(2026, 1, 1, tzinfo=UTC), "", "deprecated"),
        (datetime(2026, 7, 1, 11, tzinfo=UTC), OLD["sunset"], "deprecated"),
        (datetime(2026, 7, 1, 12, tzinfo=UTC), OLD["sunset"], "ended"),
        (datetime(2026, 7, 1, 12, tzinfo=UTC), "", "deprecated"),
    ):
        deprecation.sunset = sunset
        assert deprecation.state(hour) == state

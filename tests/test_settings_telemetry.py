"""The standard variables of OpenTelemetry."""

import pytest

from restwell.errors import ConfigurationError
from restwell.settings import Settings


def test_the_endpoint_gets_the_path_of_traces_and_the_one_of_traces_does_not() -> None:
    assert Settings.load({}).otel.traces_url is None
    base = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otlp.example.com/otlp/"}
    assert Settings.load(base).otel.traces_url == "https://otlp.example.com/otlp/v1/traces"
    whole = base | {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://otlp.example.com/intake"}
    assert Settings.load(whole).otel.traces_url == "https://otlp.example.com/intake"


def test_headers_and_attributes_are_percent_decoded_and_headers_are_secret() -> None:
    """Breaks when the settings show their headers: a report of the configuration would have the key."""
    settings = Settings.load(
        {
            "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20c2VjcmV0, x-scope=a%2Cb=,",
            "OTEL_RESOURCE_ATTRIBUTES": "team=billing",
        }
    )
    assert settings.otel.pairs(settings.otel.exporter_otlp_headers) == {
        "Authorization": "Basic c2VjcmV0",
        "x-scope": "a,b=",
    }
    assert settings.otel.pairs(settings.otel.resource_attributes) == {"team": "billing"}
    assert "c2VjcmV0" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "must be https://"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://user:secret@host", "must be https://"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret", "must be name=value pairs"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "secret", "must be name=value pairs"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b\nc: secret", "must be name=value pairs"),
        ("OTEL_TRACES_SAMPLER", "always_on", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5", "less than or equal to 1"),
        ("TRACE_SLOW_SECONDS", "0", "greater than 0"),
    ],
)
def test_a_wrong_value_is_one_line_without_the_value(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Settings.load({name: value})
    assert message in str(raised.value)
    assert name in str(raised.value)
    assert "secret" not in str(raised.value)

"""Names, types and units of the metrics follow the conventions of Prometheus."""

import subprocess

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from metrics_table import definitions
from restwell.observability._metric_families import COUNTER_SUFFIX, Histogram, MetricDefinition

UNITS = ("_seconds", "_bytes")
OTHER_UNITS = ("_ms", "milliseconds", "minutes", "_kb", "percent")


class Sampled:
    """A collector with one sample of each definition."""

    def collect(self) -> list[Metric]:
        return [example(each) for each in definitions()]


def example(definition: MetricDefinition) -> Metric:
    labels = ["x"] * len(definition.labels)
    if definition.kind == "histogram":
        return definition.histogram([(labels, Histogram(definition.bounds))])
    if definition.kind == "summary":
        return definition.summary([(labels, 1, 1)])
    if len(labels) < 2:
        return definition.family(dict.fromkeys(labels, 1) or 1)
    return definition.family({tuple(labels): 1})


def check(promtool: str, exposition: str) -> None:
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=exposition, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@pytest.mark.integration
def test_promtool_accepts_every_metric(promtool: str) -> None:
    """Breaks with a counter without _total, a unit that is not a base unit, or a metric without help."""
    registry = CollectorRegistry()
    registry.register(Sampled())
    check(promtool, generate_latest(registry).decode())


@pytest.mark.integration
async def test_promtool_accepts_what_an_application_exposes(promtool: str, tiny: httpx.AsyncClient) -> None:
    await tiny.get("/v1/notes")
    check(promtool, (await tiny.get("/metrics")).text)


async def test_an_application_exposes_no_metric_of_the_kit_without_a_definition(tiny: httpx.AsyncClient) -> None:
    """Breaks when a collector builds a family of its own: it would be in no document."""
    await tiny.get("/v1/notes")
    known = {each.name for each in definitions()}
    exposed = (await tiny.get("/metrics")).text
    names = {
        f"{family.name}{COUNTER_SUFFIX if family.type == 'counter' else ''}"
        for family in text_string_to_metric_families(exposed)
    }
    assert names - known == set()


@pytest.mark.parametrize("definition", definitions(), ids=lambda each: each.name)
def test_a_metric_has_base_units_and_few_labels(definition: MetricDefinition) -> None:
    base = definition.name.removesuffix(COUNTER_SUFFIX)
    assert not any(unit in base for unit in OTHER_UNITS)
    if definition.kind in {"histogram", "summary"}:
        assert base.endswith(UNITS)
    assert list(definition.bounds) == sorted(set(definition.bounds))
    assert len(definition.labels) <= 3 or base.endswith("_info"), "an info metric has one series for each subject"
    assert definition.text.endswith(".")
    assert not {"job", "instance"} & {*definition.labels}, "Prometheus gives these to the whole target"
    assert "pid" not in definition.labels, "metrics are merged over processes"

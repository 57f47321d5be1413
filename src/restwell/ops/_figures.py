"""Metrics as figures of a page: sums over all processes of this machine."""

from collections import defaultdict

from msgspec import Struct

from restwell.observability._metrics import Metrics


class Figures(Struct):
    """Values by the name of the metric, without ``_total``, and its labels."""

    samples: dict[str, list[tuple[dict[str, str], float]]]

    def total(self, name: str) -> float:
        """The sum over all labels; 0 for a metric that there is not."""
        return sum(value for _, value in self.samples.get(name, []))

    def by(self, name: str, label: str) -> dict[str, float]:
        """The values by one of the labels."""
        values: defaultdict[str, float] = defaultdict(float)
        for labels, value in self.samples.get(name, []):
            values[labels.get(label, "")] += value
        return dict(values)


async def read_figures(metrics: Metrics, prefix: str | tuple[str, ...]) -> Figures:
    """The counters and gauges whose names begin so."""
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in await metrics.families(prefix):
        found = [(labels, value) for name, labels, value in family.samples if not name.endswith("_created")]
        samples[family.name] = found
    return Figures(samples)

"""Line charts as SVG, for results: the fewest parts that a person can read."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 720, 360, 70, 45, 60, 50
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#8250df", "#9a6700")


def line_chart(title: str, unit: str, ticks: Sequence[str], series: Mapping[str, Sequence[float]]) -> str:
    """Each series as a line over evenly spaced ``ticks``; the axis of ``unit`` begins at zero."""
    top = _round_above(max(max(values) for values in series.values()))
    step = (WIDTH - LEFT - RIGHT) / max(len(ticks) - 1, 1)

    def place(index: int, value: float) -> tuple[float, float]:
        return round(LEFT + index * step, 1), round(HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="16">{escape(title)}</text>',
        f'<text x="{LEFT}" y="42" fill="#57606a">{escape(unit)}</text>',
    ]
    for part in range(5):
        value = top * part / 4
        _, y = place(0, value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end" fill="#57606a">{value:,.4g}</text>')
    for index, tick in enumerate(ticks):
        x, _ = place(index, 0)
        parts.append(
            f'<text x="{x}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle" fill="#57606a">{escape(tick)}</text>'
        )
    for number, (name, values) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x},{y}" for x, y in (place(index, value) for index, value in enumerate(values)))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        parts.append(f'<text x="{LEFT + number * 170}" y="{HEIGHT - 12}" fill="{colour}">{escape(name)}</text>')
    return "\n".join((*parts, "</svg>", ""))


def _round_above(value: float) -> float:
    """The next of 1, 2, 4, 6, 8 or 10 times a power of ten: quarters of it are easy to read."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value)

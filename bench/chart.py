"""Minimal SVG charts of results."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 860, 380, 70, 45, 80, 50
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#8250df", "#9a6700", "#bf3989", "#57606a")
MAX_LABEL = 14
"""Longer tick labels are split into two lines."""


def line_chart(title: str, unit: str, ticks: Sequence[str], series: Mapping[str, Sequence[float]]) -> str:
    """A line per series over evenly spaced ``ticks``. The value axis starts at zero."""
    top = _round_up(max(max(values) for values in series.values()))
    step = (WIDTH - LEFT - RIGHT) / max(len(ticks) - 1, 1)
    parts = _frame(title, unit, top)
    for index, tick in enumerate(ticks):
        parts.append(_tick(LEFT + index * step, tick))
    for number, values in enumerate(series.values()):
        points = " ".join(f"{LEFT + index * step:.1f},{_y(value, top)}" for index, value in enumerate(values))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{_colour(number)}" stroke-width="2.5"/>')
    return _finish(parts, series)


def bar_chart(title: str, unit: str, ticks: Sequence[str], series: Mapping[str, Sequence[float]]) -> str:
    """A group of bars per tick, with the values above them. The value axis starts at zero."""
    top = _round_up(max(max(values) for values in series.values()))
    group = (WIDTH - LEFT - RIGHT) / len(ticks)
    width = group * 0.8 / len(series)
    parts = _frame(title, unit, top)
    for index, tick in enumerate(ticks):
        parts.append(_tick(LEFT + (index + 0.5) * group, tick))
        for number, values in enumerate(series.values()):
            x, y = LEFT + (index + 0.1) * group + number * width, _y(values[index], top)
            size = f'width="{width - 2:.1f}" height="{HEIGHT - BOTTOM - y:.1f}"'
            parts.append(f'<rect x="{x:.1f}" y="{y}" {size} fill="{_colour(number)}"/>')
            middle = f'x="{x + width / 2 - 1:.1f}" y="{y - 4:.1f}"'
            parts.append(f'<text {middle} text-anchor="middle" font-size="8">{values[index]:.1f}</text>')
    return _finish(parts, series)


def _frame(title: str, unit: str, top: float) -> list[str]:
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
            ' font-family="sans-serif" font-size="13">'
        ),
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="16">{escape(title)}</text>',
        f'<text x="{LEFT}" y="42" fill="#57606a">{escape(unit)}</text>',
    ]
    for part in range(5):
        value = top * part / 4
        y = _y(value, top)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end" fill="#57606a">{value:,.4g}</text>')
    return parts


def _tick(x: float, text: str) -> str:
    lines = textwrap.wrap(text, max(len(text) // 2 + 3, MAX_LABEL)) if len(text) > MAX_LABEL else [text]
    return "".join(
        f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 20 + 15 * number}" text-anchor="middle" fill="#57606a">'
        f"{escape(line)}</text>"
        for number, line in enumerate(lines)
    )


def _finish(parts: list[str], series: Mapping[str, object]) -> str:
    spacing = min(170.0, (WIDTH - LEFT) / len(series))
    legend = [
        f'<text x="{LEFT + number * spacing:.0f}" y="{HEIGHT - 12}" fill="{_colour(number)}">{escape(name)}</text>'
        for number, name in enumerate(series)
    ]
    return "\n".join((*parts, *legend, "</svg>", ""))


def _y(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP), 1)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _round_up(value: float) -> float:
    """Round up to 1, 2, 4, 6, 8 or 10 times a power of ten, so that quarters are round numbers."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value)

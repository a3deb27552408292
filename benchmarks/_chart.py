"""Small line charts as one SVG file; the dashboard's own charts need a browser."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 300, 190, 36
COLOURS = ("#d5601a", "#2f7fc4", "#1b8a6b", "#a05195")
DASHES = ("", "5 3", "1.5 2.5")
ACROSS = 3


@dataclass(frozen=True)
class Panel:
    """One chart of rates in [0, 1]; a line's None is a gap."""

    title: str
    x_name: str
    xs: Sequence[float]
    lines: Mapping[str, Sequence[float | None]]


def write_chart(path: Path, panels: Sequence[Panel]) -> None:
    """Panels in rows of three, every name in the legend once: `<first>, <second>` gives the line
    the colour of its first part and the dash of its second."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    firsts = list(dict.fromkeys(name.split(", ")[0] for name in names))
    seconds = list(dict.fromkeys(name.split(", ")[-1] for name in names))
    styles = {
        name: (
            COLOURS[firsts.index(name.split(", ")[0]) % len(COLOURS)],
            DASHES[seconds.index(name.split(", ")[-1]) % len(DASHES)],
        )
        for name in names
    }
    rows = -(-len(panels) // ACROSS)
    legend = 18 * -(-len(names) // ACROSS) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{ACROSS * WIDTH}" '
        f'height="{rows * HEIGHT + legend}" font-family="sans-serif" font-size="10">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for i, panel in enumerate(panels):
        parts += _panel(panel, i % ACROSS * WIDTH, i // ACROSS * HEIGHT, styles)
    for i, name in enumerate(names):
        x, y = i % ACROSS * WIDTH + MARGIN, rows * HEIGHT + 14 + i // ACROSS * 18
        parts.append(_line([(x, y - 3), (x + 26, y - 3)], *styles[name]))
        parts.append(f'<text x="{x + 32}" y="{y}">{escape(name)}</text>')
    path.write_text("\n".join([*parts, "</svg>\n"]), encoding="utf-8")


def _panel(
    panel: Panel, left: int, top: int, styles: Mapping[str, tuple[str, str]]
) -> list[str]:  # fmt: skip
    low, high = min(panel.xs), max(panel.xs)
    wide, tall = WIDTH - MARGIN - 14, HEIGHT - 2 * MARGIN

    def at(x: float, y: float) -> tuple[float, float]:
        return left + MARGIN + wide * (x - low) / (high - low), top + MARGIN + tall * (1 - y)

    parts = [f'<text x="{left + MARGIN}" y="{top + 20}">{escape(panel.title)}</text>']
    for y in (0.0, 0.5, 1.0):
        (x0, y0), (x1, _) = at(low, y), at(high, y)
        parts.append(_line([(x0, y0), (x1, y0)], "#dddddd", ""))
        parts.append(f'<text x="{x0 - 6:.1f}" y="{y0 + 3:.1f}" text-anchor="end">{y:g}</text>')
    for x in panel.xs:
        x0, y0 = at(x, 0)
        parts.append(f'<text x="{x0:.1f}" y="{y0 + 14:.1f}" text-anchor="middle">{x:g}</text>')
    parts.append(
        f'<text x="{left + MARGIN + wide / 2:.1f}" y="{top + HEIGHT - 8}" '
        f'text-anchor="middle">{escape(panel.x_name)}</text>'
    )
    for name, ys in panel.lines.items():
        points = [at(x, y) for x, y in zip(panel.xs, ys, strict=True) if y is not None]
        if points:
            parts.append(_line(points, *styles[name]))
    return parts


def _line(points: Sequence[tuple[float, float]], colour: str, dash: str) -> str:
    where = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{where}" fill="none" stroke="{colour}" stroke-width="1.5"{dashed}/>'

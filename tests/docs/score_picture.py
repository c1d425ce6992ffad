"""Draws docs/images/score.svg, the worked example of docs/trust.md, from the formula. `python tests/docs/score_picture.py` writes it anew."""

from __future__ import annotations

from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / "docs" / "images" / "score.svg"
PARTS = [("FiduciaryPledge", 0.30, "pledge"), ("VerifiedNode", 0.20, "node"), ("Uptime", 0.20, "uptime")]
TIERS = [("Trusted", 0.70), ("Verified", 0.40), ("Known", 0.10)]
HELD = 0.02
LAST_DAY = 1300
LEFT, TOP, WIDTH, HEIGHT = 60, 40, 620, 300
STYLE = """
    .bg { fill: #ffffff }
    .pledge { fill: #2f6fab }
    .node { fill: #6fa3d8 }
    .uptime { fill: #b7d3ee }
    .tier { stroke: #57606a; stroke-width: 1; stroke-dasharray: 6 4 }
    .held { stroke: #57606a; stroke-width: 0.6; stroke-dasharray: 1 3 }
    .axis { stroke: #57606a; stroke-width: 1.2 }
    .fall { fill: #b3402e }
    text { fill: #1f2328; font-size: 13px }
    .small { font-size: 12px; fill: #57606a }
    @media (prefers-color-scheme: dark) {
      .bg { fill: #0d1117 }
      .pledge { fill: #5b9bd5 }
      .node { fill: #3a6f9f }
      .uptime { fill: #234562 }
      .tier, .held, .axis { stroke: #8b949e }
      .fall { fill: #f08a76 }
      text { fill: #e6edf3 }
      .small { fill: #9aa4af }
    }
"""


def factor(day: int) -> float:
    return 0.5 ** (day / 365)


def falls() -> list[tuple[int, str, str]]:
    """The days on which a tier is lost, with what it was and what it becomes."""
    found = []
    names = [name for name, _ in TIERS] + ["Unknown"]
    for place, (name, threshold) in enumerate(TIERS):
        day = next(day for day in range(10_000) if round(0.7 * factor(day), 9) < threshold - HELD)
        found.append((day, name, names[place + 1]))
    return found


def x(day: float) -> float:
    return LEFT + WIDTH * day / LAST_DAY


def y(value: float) -> float:
    return TOP + HEIGHT * (1 - value / 0.8)


def draw() -> str:
    days = range(0, LAST_DAY + 1, 10)
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 400" width="760" height="400" role="img" '
        "aria-labelledby=\"t d\" font-family=\"system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif\">",
        '  <title id="t">A score over time</title>',
        '  <desc id="d">Three credentials of one day, stacked. Together they begin at 0.7 and halve each year. '
        + " ".join(f"On day {day} {before} becomes {after}." for day, before, after in falls())
        + "</desc>",
        f"  <style>{STYLE}  </style>",
        '  <rect class="bg" width="760" height="400" rx="8"/>',
    ]
    floor = 0.0
    for name, weight, style in PARTS:
        upper = [f"{x(day):.1f},{y((floor + weight) * factor(day)):.1f}" for day in days]
        lower = [f"{x(day):.1f},{y(floor * factor(day)):.1f}" for day in reversed(days)]
        lines.append(f'  <polygon class="{style}" points="{" ".join(upper + lower)}"/>')
        floor += weight
    for name, threshold in TIERS:
        for style, value in (("tier", threshold), ("held", threshold - HELD)):
            lines.append(f'  <line class="{style}" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        lines.append(f'  <text x="{LEFT + WIDTH + 8}" y="{y(threshold) + 4:.1f}">{name}</text>')
        lines.append(f'  <text class="small" x="{LEFT - 8}" y="{y(threshold) + 4:.1f}" text-anchor="end">{threshold:.2f}</text>')
    for day, before, after in falls():
        at = 0.7 * factor(day)
        lines.append(f'  <circle class="fall" cx="{x(day):.1f}" cy="{y(at):.1f}" r="4"/>')
        lines.append(f'  <text x="{x(day) + 9:.1f}" y="{y(at) - 8:.1f}">day {day}: {before} becomes {after}</text>')
    bottom = y(0)
    lines.append(f'  <line class="axis" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{bottom:.1f}" y2="{bottom:.1f}"/>')
    for day in (0, 365, 730, 1095):
        lines.append(f'  <text class="small" x="{x(day):.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{"day 0" if day == 0 else day}</text>')
    for place, (name, weight, style) in enumerate(PARTS):
        left = LEFT + 200 * place
        lines.append(f'  <rect class="{style}" x="{left}" y="374" width="12" height="12"/>')
        lines.append(f'  <text class="small" x="{left + 18}" y="384">{name}, {weight:.2f} at first</text>')
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    FILE.write_text(draw())

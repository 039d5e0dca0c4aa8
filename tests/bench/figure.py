"""`python -m tests.bench.figure figures.json docs/figures.svg`: the figures of a run, drawn.

`figures.json` is what `make bench ARGS="--json figures.json"` writes. The drawing is readable in light and in
dark, and says all its figures in words for those who hear it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Annotated, Any

import typer

WIDTH, LABEL, VALUE = 760, 180, 170
ROW, BAR, HEAD = 22, 14, 34
SERVERS = ("Kafka", "mongod")

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .small { font-size: 11px; fill: #59636e }
  .head { font-weight: 600 }
  .real { fill: #0969da } .raw { fill: #afb8c1 } .tutorial { fill: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .small { fill: #9198a1 }
    .real { fill: #4493f8 } .raw { fill: #656c76 } .tutorial { fill: #db6d28 }
  }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """`kind` is the class of its colour: real, raw or tutorial."""

    label: str
    kind: str
    value: float
    unit: str
    digits: int = 0

    @property
    def words(self) -> str:
        return f"{self.value:,.{self.digits}f} {self.unit}".strip()


@dataclass(frozen=True, slots=True)
class Group:
    """Bars of one scale under one head."""

    head: str
    bars: Sequence[Bar]


def draw(document: Mapping[str, Any]) -> str:
    """The SVG of a run's figures (report.document). Parts that were not measured are left out."""
    groups = [*_stages(document), *_processes(document)]
    machine = document["machine"]
    load = ", ".join(f"{one:g}" for one in machine["load_before"])
    when = (
        f"{machine['at'][:10]}, {machine['cores']} shared cores, {machine['memory_gb']} GiB, "
        f"Python {machine['python']}, load before {load}"
    )
    drawn: list[str] = []
    top = 44.0
    for group in groups:
        drawn += _group(group, top)
        top += HEAD + ROW * len(group.bars)
    height = top + 12
    said = ". ".join(f"{one.head}: {', '.join(f'{b.label} {b.words}' for b in one.bars)}" for one in groups)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" '
            'aria-labelledby="title what">',
            '<title id="title">What CQM carries, measured</title>',
            f'<desc id="what">{escape(f"{when}. {said}.")}</desc>',
            f"<style>{STYLE}</style>",
            *_text(12, 20, "What CQM carries", "head"),
            *_text(12, 36, when, "small"),
            *drawn,
            "</svg>\n",
        ]
    )


def _stages(document: Mapping[str, Any]) -> Iterator[Group]:
    ways = [("intake", one["way"], "feedback", one) for one in document.get("doors") or ()]
    ways += [(one["stage"], "", one["item"], one) for one in document.get("stages") or ()]
    for name, how, item, one in ways:
        items = item if item == "feedback" else f"{item}s"
        unit = f"{items}/s"
        bars = [
            Bar(name, "real", one["real"]["rate"], unit),
            Bar("raw limit", "raw", one["raw"]["rate"], unit),
        ]
        if one.get("tutorial"):
            bars.append(Bar("the tutorial way", "tutorial", one["tutorial"]["rate"], unit))
        yield Group(f"{name}{f', {how}' if how else ''}: {items} a second", bars)


def _processes(document: Mapping[str, Any]) -> Iterator[Group]:
    if not (chain := document.get("chain")):
        return
    spent = sorted(chain["whole"]["cpu_us"].items(), key=lambda entry: -entry[1])
    bars = [Bar(name, "raw" if name in SERVERS else "real", us, "us") for name, us in spent]
    rate = chain["whole"]["rate"]
    yield Group(f"All four services, {rate:,.0f} feedback/s: CPU time per feedback by process", bars)


def _group(group: Group, top: float) -> Iterator[str]:
    yield from _text(12, top + 18, group.head, "head")
    most = max((bar.value for bar in group.bars), default=0.0) or 1.0
    for number, bar in enumerate(group.bars):
        y = top + HEAD - 6 + ROW * number
        width = max(1.0, (WIDTH - LABEL - VALUE) * bar.value / most)
        yield from _text(12, y + BAR - 3, bar.label)
        yield f'<rect class="{bar.kind}" x="{LABEL}" y="{y:g}" width="{width:.1f}" height="{BAR}" rx="2"/>'
        yield from _text(LABEL + width + 8, y + BAR - 3, bar.words)


def _text(x: float, y: float, words: str, kind: str = "") -> Iterator[str]:
    mark = f' class="{kind}"' if kind else ""
    yield f'<text{mark} x="{x:.1f}" y="{y:g}">{escape(words)}</text>'


def main(
    figures: Annotated[Path, typer.Argument(help="What a run has written with --json.")],
    svg: Annotated[Path, typer.Argument(help="Where to draw them.")],
) -> None:
    """Draw the figures of a run."""
    svg.write_text(draw(json.loads(figures.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()

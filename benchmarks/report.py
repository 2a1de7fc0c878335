"""Figures as people read them: a line of text, a page of the documentation, a plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
PAGE = REPOSITORY / "docs" / "benchmarks.md"
PLOTS = REPOSITORY / "docs" / "assets" / "benchmarks"
_OURS, _PEER, _INK = "#b5562b", "#9aa3ad", "#808890"  # the last reads on white and on black
_PEERS = {"ChatOpenAI", "OpenAILike"}

_HEAD = """\
# Benchmarks

<!-- Written by `make bench`; edit benchmarks/report.py instead. -->

Every figure here was measured by one command, `make bench`, which makes its own environment
with the pinned versions of `benchmarks/requirements.txt`.
All contestants talk to the **sandbox**, in another process on the same machine: what is compared
is what the client itself costs, not how fast any model or Oxen's hub answers. The network and the
model add the same to everybody.

Contestants take turns, round by round; a figure is the median of the rounds, with the quartiles
in brackets. *CPU* is processor time of the client's process, *wall* is time until done. Before
anything is measured, all contestants of a case have to return the same result. The last column
is what travels from one machine to another: **how many times lower than the baseline**.
"""


def as_text(case: dict[str, Any]) -> str:
    """A case for the terminal."""
    lines = [f"  {case['name']} ({case['measure']}, rounds: {case['rounds']})"]
    for name, figure in case["contestants"].items():
        lines.append(f"    {name:<34}{_figure(figure):>32}   {_ratio(case, name)}")
    return "\n".join(lines)


def write(results: Path) -> None:
    """Rewrite the page and the plots from all kept results."""
    PLOTS.mkdir(parents=True, exist_ok=True)
    sections, summary = [_HEAD], ["| | ours | peer | times lower |", "| --- | ---: | ---: | ---: |"]
    measured = set()
    for path in sorted(results.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        plot(result, PLOTS / f"{path.stem}.svg")
        sections.append(_section(result, path.stem))
        if rows := [row for case in result["cases"] for row in _against_peer(result, case)]:
            summary += rows
            measured.add(f"on {result['date']}, {_machine(result)}")
    summary += ["", f"Measured {'; '.join(sorted(measured))}."]
    PAGE.write_text("\n".join(sections), encoding="utf-8")
    (results / "summary.md").write_text("\n".join(summary) + "\n", encoding="utf-8")


def _against_peer(result: dict[str, Any], case: dict[str, Any]) -> list[str]:
    """The case's first contestant, which is ours, beside the baseline, if that is a peer."""
    ours, baseline = next(iter(case["contestants"])), case["baseline"]
    if case["measure"] not in ("cpu", "wall") or baseline not in _PEERS:
        return []
    own, peer = (_middle(case["contestants"][name]) for name in (ours, baseline))
    what = f"{result['title']}: {case['name']} ({case['measure']})"
    return [f"| {what} | {own} | {baseline}: {peer} | {_ratio(case, ours)} |"]


def _machine(result: dict[str, Any]) -> str:
    """What a result was measured on."""
    machine = result["machine"]
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}"
    )


def _section(result: dict[str, Any], name: str) -> str:
    rows = []
    for case in result["cases"]:
        named = case["name"], case["measure"]  # beside its first contestant only
        for contestant, figure in case["contestants"].items():
            ratio = _ratio(case, contestant)
            rows.append(f"| {named[0]} | {contestant} | {_figure(figure)} | {named[1]} | {ratio} |")
            named = "", ""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return "\n".join(
        [
            f"## {result['title']}\n",
            f"{result['about']}\n",
            f"![{result['title']}: times lower than the baseline](assets/benchmarks/{name}.svg)\n",
            "| case | contestant | median [quartiles] | measured | times lower |",
            "| --- | --- | ---: | --- | ---: |",
            *rows,
            "",
            f"`make bench SUITE={name}` on {result['date']}, against {result['server']}. "
            f"{_machine(result)}. {versions}.\n",
        ]
    )


def plot(result: dict[str, Any], path: Path) -> None:
    """Bars of ratios: one group for each case, one bar for each contestant."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "oxen"  # the same figures give the same file
    from matplotlib import pyplot as plt

    bars = [
        (case["name"], name, figure["times_lower"] or 0.0, name == case["baseline"])
        for case in result["cases"]
        for name, figure in case["contestants"].items()
    ]
    figure, axes = plt.subplots(figsize=(8, 0.9 + 0.34 * len(bars) + 0.3 * len(result["cases"])))
    position, last, labels = 0.0, None, []
    for case, name, ratio, is_baseline in bars:
        if case != last:
            position += 1.1 if last else 0.6
            axes.text(0, position - 0.75, case, color=_INK, fontsize=9, fontweight="bold")
            last = case
        axes.barh(position, ratio, height=0.7, color=_OURS if "Oxen" in name else _PEER)
        shown = "baseline" if is_baseline else f"{ratio:.1f}×"
        axes.text(ratio, position, f" {shown}", va="center", color=_INK, fontsize=9)
        labels.append((position, name))
        position += 1
    axes.set_yticks([at for at, _ in labels], [name for _, name in labels])
    axes.invert_yaxis()
    axes.set_xlabel("times lower than the baseline", color=_INK, fontsize=9)
    axes.tick_params(colors=_INK, labelsize=9, length=0)
    axes.margins(x=0.12)
    for side in axes.spines.values():
        side.set_visible(False)
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def _figure(figure: dict[str, Any]) -> str:
    low, high = figure["quartiles"]
    return f"{_short(figure['median'])} [{_short(low)}-{_short(high)}] {figure['unit']}"


def _middle(figure: dict[str, Any]) -> str:
    return f"{_short(figure['median'])} {figure['unit']}"


def _short(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(case: dict[str, Any], name: str) -> str:
    ratio = case["contestants"][name]["times_lower"]
    if name == case["baseline"]:
        return "baseline"
    return "-" if ratio is None else f"**{ratio:.1f}×**" if ratio >= 1.05 else f"{ratio:.2f}×"

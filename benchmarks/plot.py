"""The plot: `python -m benchmarks.plot` draws results.json as results.svg; it alone needs matplotlib."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot

from benchmarks import results
from benchmarks.peers import OURS
from benchmarks.table import alternative

FILE = Path(__file__).with_name("results.svg")

# They stand out on white and on black alike; what is behind them shows through.
TEXT, BAR, OUR_BAR = "#808891", "#8b95a1", "#2f9e6e"

PANELS = (
    ("accept", "requests_per_second", "Accepted: requests a second, one process", "{:,.0f}"),
    ("done", "jobs_per_second", "Done: no-op jobs a second", "{:,.0f}"),
    ("recovery", "seconds", "A worker is killed: seconds until its job runs again", "{:.0f} s"),
)


def main() -> None:
    """Draw what there is."""
    found = results.read()
    mpl.rcParams.update({
        "svg.fonttype": "none", "svg.hashsalt": "bench", "font.family": "sans-serif", "font.size": 10,
        "text.color": TEXT, "axes.labelcolor": TEXT, "xtick.color": TEXT, "ytick.color": TEXT, "axes.edgecolor": TEXT,
    })  # fmt: skip
    panels = [panel for panel in PANELS if panel[0] in found["steps"]]
    figure, axes = pyplot.subplots(len(panels), 1, figsize=(8.3, 2.9 * len(panels)), squeeze=False)
    for axis, (step, number, title, form) in zip(axes[:, 0], panels, strict=True):
        draw(axis, found, found["steps"][step]["contestants"], number, title, form)
    machine = found["machine"]
    note = f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']} GB, {found['date']}; medians"
    figure.text(0.99, 0.005, note, ha="right", size=8)
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    metadata = {"Date": None, "Title": alternative(found), "Identifier": results.digest(found)}
    figure.savefig(FILE, transparent=True, metadata=metadata)


def draw(axis: pyplot.Axes, found: dict[str, Any], rows: dict[str, Any], number: str, title: str, form: str) -> None:
    """One panel: a bar for each contestant, ours on top."""
    names = [name for name in found["contestants"] if name in rows]
    # Who does not come within the time has a bar to its end, and says so.
    lengths = [rows[name].get(number, rows[name].get("not_within_s", 0)) for name in names]
    titles = [found["contestants"][name]["title"] for name in names]
    bars = axis.barh(titles, lengths, color=[OUR_BAR if name == OURS else BAR for name in names], height=0.7)
    for bar, name in zip(bars, names, strict=True):
        late = number not in rows[name]
        bar.set(alpha=0.35 if late else 1)
        said = f"not within {rows[name]['not_within_s']:.0f} s" if late else form.format(rows[name][number])
        axis.annotate(said, (bar.get_width(), bar.get_y() + bar.get_height() / 2), (4, 0), **BESIDE)
    axis.invert_yaxis()
    axis.set_title(title, loc="left", size=11)
    axis.set_xlim(0, 1.15 * max(lengths, default=1))
    axis.tick_params(left=False, bottom=False, labelbottom=False)
    axis.spines[["top", "right", "bottom", "left"]].set_visible(False)


BESIDE: Any = {"textcoords": "offset points", "va": "center", "size": 9}

if __name__ == "__main__":
    main()

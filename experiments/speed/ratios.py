"""The picture of how much faster members are than runs alone."""

import pathlib

from matplotlib.figure import Figure

from experiments.figures.pictures import render
from experiments.host.files import write_bytes


def draw_ratios(path: pathlib.Path, rows: list[dict], ways: list[str]) -> None:
  """Draws how much faster members are than runs alone, against their number.

  Args:
    path: the PNG to write.
    rows: dicts of `network`, `members` and, for each way, the least, median and largest ratio.
    ways: the keys of the ratios.
  """
  networks = list(dict.fromkeys(row["network"] for row in rows))
  figure = Figure(figsize=(5 * len(networks), 3.6), layout="constrained")
  for place, network in enumerate(networks, 1):
    axes = figure.add_subplot(1, len(networks), place)
    own = [row for row in rows if row["network"] == network]
    members = [row["members"] for row in own]
    for way in ways:
      low, middle, high = zip(*(row[way] for row in own), strict=True)
      (line,) = axes.plot(members, middle, ".-", label=way)
      axes.fill_between(members, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.axhline(1, color="gray", linewidth=0.8, linestyle=":")
    axes.set_xscale("log", base=2)
    axes.set_xticks(members, members)
    axes.set_ylim(bottom=0)
    axes.set(title=network, xlabel="members", ylabel="times faster than runs alone")
    axes.legend(fontsize=8)
  write_bytes(path, render(figure))

"""Methods that draw the same data with the same networks for the same time, not for equal steps."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.claims.claim import Evidence
from experiments.claims.figures import make_panels, picture
from experiments.claims.lab import Lab
from experiments.measures.table import compared
from experiments.report.results import by_setting
from experiments.report.tables import mean_interval
from experiments.spec.grid import method_name

_SHOWN = ("frechet", "precision", "recall", "sliced_wasserstein")

SCALES = {
  "quick": {"seeds": 2, "dataset": "digits", "width": 16,
    "lengths": {"seconds": 16, "log_every": 100, "slow_every": 200}},
  "full": {"seeds": 5, "dataset": "mnist", "width": 32,
    "lengths": {"seconds": 600, "log_every": 1000, "slow_every": 1000}},
  "tiny": {"seeds": 1, "width": 2, "lengths": {"steps": 2, "log_every": 2, "slow_every": 2}},
}  # fmt: skip
"""The arguments of a race by scale, as a `Claim` has them."""


def race(
  lab: Lab,
  words: Mapping[str, str],
  *,
  seeds: int,
  dataset: str,
  width: int,
  lengths: Mapping[str, int],
) -> Evidence:
  """Trains DCGANs by methods, in words by name.

  The numbers are, by method and for each seed that finished, measures of the end, and `proven`, the
  share of the exact distance of samples that the critic certifies.

  Args:
    lab: trains them.
    words: the methods.
    seeds, dataset, width: of the sweep.
    lengths: `seconds` for each member, in which it does as many steps as fit, `log_every` and
      `slow_every`, of which the steps are a multiple.
  """
  choices = {"methods": tuple(words), "width": width, "batch_size": 32, "learning_rate": 1e-3}
  numbers: dict[str, Any] = {"seeds": seeds}
  table = []
  for same in by_setting(lab.sweep(dataset, choices, seeds=seeds, **lengths)):
    name = method_name(same[0].run)
    ends = [member.end for member in same if member.end]
    own = {key: [end[key] for end in ends] for key in _SHOWN}
    own["proven"] = [end["certified_wasserstein"] / end["exact_wasserstein"] for end in ends]
    row = {"critic by": words[name], "steps": max(member.steps for member in same)}
    row |= {compared()[key].title: str(mean_interval(own[key])) for key in _SHOWN}
    table.append(row | {"certified / exact": str(mean_interval(own["proven"]))})
    numbers[name] = own
  caption = f"{dataset}, the same time for each; {seeds} seeds, a dot each, and means."
  return Evidence(numbers, table, [_draw(numbers, words, caption)])


def means(numbers: Mapping[str, Any], name: str, measure: str) -> float:
  """The mean over seeds; NaN, which no criterion accepts, where one of them did not finish."""
  values = numbers[name][measure]
  return float(np.mean(values)) if len(values) == numbers["seeds"] else np.nan


def _draw(numbers, words, caption):
  shown = {"frechet": "classifier Fréchet distance", "recall": "recall"}
  shown["proven"] = "certified / exact distance of samples"
  figure, panels = make_panels(1, 3, size=(9, 3.4))
  for axes, (key, label) in zip(panels, shown.items(), strict=True):
    for i, name in enumerate(words):
      values = numbers[name][key]
      axes.plot([i] * len(values), values, "o", color=f"C{i}", alpha=0.6)
      axes.plot(i, np.mean(values) if values else np.nan, "_", color=f"C{i}", markersize=24)
    axes.set_xticks(range(len(words)), words.values(), fontsize=8)
    most = max((value for name in words for value in numbers[name][key]), default=0.0)
    axes.set(ylabel=label, xlim=(-0.5, len(words) - 0.5), ylim=(0, 1.1 * most or 1))
  return picture(figure, caption)

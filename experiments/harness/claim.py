"""What a claim of a paper or a course is made of, and what it may use to put itself to the test.

A claim is one file in `experiments/claims`. Its criterion is to be fixed before it is run:
`measure` gives numbers and pictures and knows nothing of verdicts, `judge` sees the numbers alone.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from experiments.harness.batching import plan_members
from experiments.harness.datasets import Dataset, load_dataset
from experiments.harness.grid import Grid
from experiments.harness.loop import Intervals
from experiments.harness.plots import Picture
from experiments.harness.results import Member, read_members
from experiments.harness.sweep_folder import open_sweep
from experiments.harness.sweep_loop import train_sweep

SCALES = ("quick", "full")
REPRODUCED, NOT_REPRODUCED, NOT_AT_THIS_SCALE = VERDICTS = (
  "reproduced",
  "not reproduced",
  "not at this scale",
)


class Evidence(NamedTuple):
  """What a claim's runs gave.

  Attributes:
    numbers: all that the judge sees: JSON values by name.
    table: rows as a reader sees them, each with the same columns; a cell is text or a number.
    pictures: with captions that tell axes, units and seeds.
  """

  numbers: dict[str, Any]
  table: list[dict[str, Any]]
  pictures: list[Picture]


class Judgement(NamedTuple):
  """A verdict, and in a sentence with numbers what was seen."""

  verdict: str
  seen: str


@dataclasses.dataclass(frozen=True)
class Claim:
  """A sentence of a source, and how it is put to the test.

  Attributes:
    name: as its file.
    sentence: what the source claims, as it means it.
    source: where: the paper's figure, table or section; the course's row.
    settings: networks, data and optimiser of the runs, in words; where they differ from the
      source's, how.
    criterion: in words, what `judge` asks of the numbers.
    scales: by name of `SCALES`, the arguments of `measure`: `seeds`, how many, unless nothing is
      drawn; `steps`; whatever else is less than at full scale.
    minutes: by scale, its share of the time, on 2 CPU cores and on a GPU.
    measure: (lab, **scale) -> Evidence.
    judge: numbers -> Judgement.
  """

  name: str
  sentence: str
  source: str
  settings: str
  criterion: str
  scales: dict[str, dict[str, Any]]
  minutes: dict[str, float]
  measure: Callable[..., Evidence]
  judge: Callable[[dict[str, Any]], Judgement]


@dataclasses.dataclass(frozen=True)
class Lab:
  """What a claim may use.

  Attributes:
    folder: for its sweeps; what is there is gone on with.
    data_dir: TFDS folder of images; None for the usual one.
    environment: `describe_environment()`, recorded with each sweep.
  """

  folder: pathlib.Path
  data_dir: str | None
  environment: dict

  def load(self, name: str, **choices) -> Dataset:
    """A data set; the choices are those of `load_dataset`."""
    return load_dataset(name, self.data_dir, **choices)

  def sweep(
    self,
    name: str,
    dataset: str,
    choices: dict[str, tuple],
    *,
    seeds: int,
    steps: int,
    log_every: int,
    exact_every: int = 0,
  ) -> list[Member]:
    """Trains all combinations, as `experiments.sweep` does, in a sweep's folder of its own.

    Args:
      name: of the folder.
      dataset: the data set's name.
      choices: values by flag name; `methods`, or `loss` and `penalty`, among them.
      seeds: 0 to seeds - 1 of each combination.
      steps: generator updates.
      log_every: steps between lines of metrics.
      exact_every: steps between slow measures, 0 for none.

    Returns:
      The members, finished or diverged, in the order of the grid.
    """
    runs = Grid(dataset, choices).settings(range(seeds))
    data = runs[0].load(self.data_dir)
    told = {"steps": steps, "log_every": log_every, "exact_every": exact_every, "seeds": seeds}
    path = self.folder / name
    intervals = Intervals(log_every, steps, steps, exact_every)
    with open_sweep(path, runs, data, told, self.environment) as folder:
      recorded = folder.read_batching()
      # No way is faster on a CPU, where to try the others would take longer than many a claim.
      way = "map" if jax.default_backend() == "cpu" else None
      capacity = intervals.capacity()
      batching = plan_members(runs, data, recorded, steps=steps, capacity=capacity, way=way)
      folder.write_batching(recorded | batching)
      train_sweep(folder, runs, data, batching, steps=steps, intervals=intervals)
      return read_members(folder)


def verdict(holds: bool, *, tells: bool = True) -> str:
  """The verdict of a criterion, or, where the scale at hand `tells` nothing, that it does not."""
  if not tells:
    return NOT_AT_THIS_SCALE
  return REPRODUCED if holds else NOT_REPRODUCED

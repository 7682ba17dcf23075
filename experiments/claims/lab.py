"""What a claim may use: data sets and sweeps."""

import dataclasses
import pathlib

from experiments.engine.groups import open_sweep
from experiments.engine.loop import Intervals
from experiments.engine.planning import default_batching
from experiments.engine.sweep import train_sweep
from experiments.report.results import Member, read_members
from experiments.spec.datasets import Dataset, load_dataset
from experiments.spec.grid import Grid


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
      train_sweep(
        folder,
        runs,
        data,
        batching=default_batching(),
        at_once=None,
        steps=steps,
        intervals=intervals,
      )
      return read_members(folder)

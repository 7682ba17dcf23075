"""What a claim is measured with: data sets, sweeps, and training that is looked at on the way."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from experiments.engine.groups import SweepFolder, open_sweep
from experiments.engine.loop import Intervals
from experiments.engine.observe import LookFn, Observed, observe
from experiments.engine.planning import Layout, budget_steps, default_batching
from experiments.engine.sweep import train_sweep
from experiments.report.results import Member, read_members
from experiments.spec.dataset import Dataset
from experiments.spec.datasets import DATASETS, load_dataset
from experiments.spec.grid import Grid
from experiments.spec.presets import PLAIN_DCGAN
from experiments.spec.settings import Settings, make_loader
from wgan_jax import OPTIMIZERS, Config, Hparams, Pair, Training, make_training


@dataclasses.dataclass(frozen=True)
class Lab:
  """The only door of a claim to the data sets and to training."""

  folder: pathlib.Path  # Of the claim's sweeps; one that is there already is resumed.
  data_dir: str | None  # TFDS folder of images; None for the default.
  environment: dict  # `describe_environment()`, recorded with each sweep.

  def load(self, name: str, **choices) -> Dataset:
    """Loads a data set; the choices are those of `load_dataset`."""
    return load_dataset(name, self.data_dir, **choices)

  def settings(self, dataset: str, seeds: int, **choices) -> list[Settings]:
    """Lists the settings of a grid; choices are a value, or a tuple of them, by flag name.

    Claims about images are tested on a plain DCGAN, at the optimisers' own learning rates: the
    launchers' networks are tuned, by a search that a claim about a method must not depend on.
    """
    of_images = DATASETS[dataset].kind == "images"
    if of_images and choices.get("architecture", "dcgan") == "dcgan":
      choices = PLAIN_DCGAN | choices
    chosen = {k: v if isinstance(v, tuple) else (v,) for k, v in choices.items()}
    runs = Grid(dataset, chosen).settings(range(seeds))
    return [_untuned(run, choices) for run in runs] if of_images else runs

  def observe(
    self, config: Config, networks: Pair, source: tuple, hparams, seeds: int, at: Sequence, look
  ) -> Observed:
    """Looks at members of one program, all seeds of each `Hparams`; source: (sample_real, data)."""
    sample_real, data = source
    training = make_training(config, networks, sample_real)
    return self.observe_training(training, data, hparams, seeds, at, look)

  def observe_training(
    self, training: Training, data: Any, hparams: Hparams, seeds: int, at: Sequence[int], look
  ) -> Observed:
    """Looks at members of any training, such as a claim's own."""
    return observe(training, data, _members(hparams, seeds), at, look)

  def observe_settings(
    self, runs: list[Settings], at: Sequence[int], look: LookFn, more_data: Any = None
  ) -> Observed:
    """Trains settings that differ in numbers and seeds only, and looks at them.

    `look` gets the training data, or `more_data` instead, as an argument of its program.
    """
    if len({run.program_name() for run in runs}) != 1:
      raise ValueError("the runs must differ in numbers and seeds only")
    first, dataset = runs[0], runs[0].load(self.data_dir)

    def sample_real(key, data, batch_size):
      return dataset.sample_real(key, data[0], batch_size)

    def look_at(key, state, data):
      return look(key, state, data[0] if more_data is None else data[1])

    training = make_training(first.config(), first.networks(), sample_real)
    source, members = (dataset.train, more_data), [(run.hparams(), run.seed) for run in runs]
    return observe(training, source, members, at, look_at)

  def sweep(
    self,
    dataset: str,
    choices: dict,
    *,
    seeds: int,
    steps: int | None = None,
    seconds: int | None = None,
    log_every: int,
    slow_every: int = 0,
    folder: str | None = None,
  ) -> list[Member]:
    """Trains all combinations of choices, as `experiments.sweep` does, in a folder of that name.

    Each to the same step, or for the same time: for the steps that fit into `seconds`. Without a
    name the folder is the data set's. Gives the members, finished or diverged, in the order of the
    grid.
    """
    runs = self.settings(dataset, seeds, **choices)
    load, layout = make_loader(self.data_dir), Layout(default_batching())
    path = self.folder / (folder or dataset)
    if seconds is not None:
      multiple = slow_every or log_every
      steps = budget_steps(path, runs, load, layout, seconds=seconds, multiple=multiple)
    flags = {"steps": steps, "log_every": log_every, "slow_every": slow_every, "seeds": seeds}
    flags |= {"budget_seconds": seconds}
    most = steps if seconds is None else max(steps.values())
    intervals = Intervals(log_every, most, most, slow_every)
    with open_sweep(path, runs, load(runs[0]), flags, self.environment) as sweep:
      train_sweep(sweep, runs, load, layout=layout, steps=steps, intervals=intervals)
      return read_members(sweep)

  def step_seconds(self, folder: str) -> dict[str, float]:
    """By program, the wall time of a member's step in the sweep of a folder."""
    return SweepFolder(self.folder / folder).step_seconds()


def _untuned(run, choices):
  """With the optimiser's own rate, and the clip value of its paper, where a claim names none."""
  own = {"learning_rate": OPTIMIZERS[run.optimizer].defaults["learning_rate"]}
  own |= {"clip_value": Hparams().clip_value} if run.clip_value is not None else {}
  return dataclasses.replace(run, **{name: own[name] for name in own if name not in choices})


def _members(hparams, seeds):
  each = [hparams] if isinstance(hparams, Hparams) else hparams
  return [(own, seed) for own in each for seed in range(seeds)]

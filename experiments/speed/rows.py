"""The rows of the benchmark. A new one is one entry of `ROWS`."""

import pathlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from experiments.spec.presets import PLAIN_DCGAN
from experiments.speed import accelerator, collectives, comparisons, processes, quality
from experiments.speed.steps import settings_of
from experiments.speed.turns import Measurement


class Row(NamedTuple):
  """A row of the benchmark."""

  name: str  # Its name for `--rows`.
  title: str  # What it measures, in one line.
  measure: Callable[[int], Measurement]  # From the number of rounds.
  default: bool = True  # Whether it is measured when no rows are named.
  draw: Callable[[pathlib.Path, Measurement], None] | None = None  # Its picture, if it has one.


_images = partial(settings_of, "digits", **PLAIN_DCGAN)  # 28 x 28, as MNIST.
_points = partial(settings_of, "grid")


def _members(architecture: str, width: int, n_steps: int) -> Row:
  settings = _images(architecture=architecture, width=width)
  return Row(
    f"members_{architecture}_{width}",
    f"one of {comparisons.COUNTS[-1]} members, {architecture} {width}, against runs alone",
    partial(comparisons.members_against_alone, settings, n_steps=n_steps),
    default=False,  # These take half an hour together.
  )


def _of_accelerator(size: accelerator.Size, suffix: str) -> tuple[Row, ...]:
  return tuple(
    Row(f"{name}{suffix}", title, measure, default=False)
    for name, (title, measure) in accelerator.measures(size).items()
  )


_ACCELERATOR = _of_accelerator(accelerator.FULL, "")
_TINY = _of_accelerator(accelerator.TINY, "_tiny")

# fmt: off
ROWS = {row.name: row for row in (
  Row("default", "step of the default run on images, against PyTorch eager",
      partial(comparisons.against_pytorch, settings_of("digits"), n_steps=100)),  # As a run.
  Row("mnist_64", "DCGAN step on 28 x 28, width 64, against PyTorch eager",
      partial(comparisons.against_pytorch, _images(width=64), n_steps=2)),
  Row("mnist_32", "DCGAN step on 28 x 28, width 32, against PyTorch eager",
      partial(comparisons.against_pytorch, _images(width=32), n_steps=5)),
  Row("native_64", "DCGAN step, width 64, against XLA's own convolutions",
      partial(comparisons.against_native, _images(width=64), n_steps=1)),
  Row("peak_64", "arithmetic rate over that of a matrix product, width 64",
      partial(comparisons.share_of_peak, _images(width=64), n_steps=2)),
  Row("penalty_64", "cost of the penalty over that of its arithmetic, width 64",
      partial(comparisons.penalty_cost, _images(width=64), n_steps=1)),
  *(Row(f"{critic}_{name}", f"updates of {words}, {critic}, over those of the penalty's critic",
        partial(comparisons.construction_cost, settings, n_steps=n_steps, critic=critic))
    for name, words, critics, settings, n_steps in (
      ("mlp", "an MLP critic, 3 x 64", ("orthonormal",), _points(width=64), 20),
      ("dcgan", "a DCGAN critic, width 32", ("aol", "orthonormal"), _images(width=32), 2),
    ) for critic in critics),
  Row("toy_64", "25 Gaussians, 3 x 64, against PyTorch eager",
      partial(comparisons.against_pytorch, _points(width=64), n_steps=100)),
  Row("toy_512", "25 Gaussians, 3 x 512, against PyTorch eager",
      partial(comparisons.against_pytorch, _points(width=512), n_steps=10)),
  Row("toy_sweep", "one of 32 toy runs, 3 x 64, against PyTorch one by one",
      partial(comparisons.sweep_against_pytorch, _points(width=64), n_steps=20, n_members=32)),
  Row("mnist_sweep", "one of 64 DCGAN runs, width 64, against PyTorch one by one",
      partial(comparisons.sweep_against_pytorch, _images(width=64), n_steps=2, n_members=64),
      default=False),  # For a GPU.
  Row("host", "share of a default run that neither trains nor measures", processes.host_share),
  Row("start_cold", "process start to the end of the first chunk, empty cache",
      partial(processes.start, warm=False)),
  Row("start_warm", "process start to the end of the first chunk, warm cache",
      partial(processes.start, warm=True)),
  Row("memory", "peak memory of the training process, width 64", processes.memory),
  Row("time_to_quality", "seconds until samples are readable, against PyTorch eager",
      partial(quality.time_to_quality, settings=settings_of("digits"),
              plain=_images(learning_rate=2e-4), plain_steps=1200),  # The earlier default.
      default=False, draw=quality.draw_quality),  # Ten minutes or more a round.
  _members("mlp", 64, 5), _members("mlp", 256, 5),
  _members("dcgan", 16, 2), _members("dcgan", 32, 2),
  Row("collectives", "what devices that share a batch send each other in a step, width 64",
      collectives.measure_collectives, default=False),
  *_ACCELERATOR, *_TINY,
)}
# fmt: on
PRESETS = {
  "default": tuple(name for name, row in ROWS.items() if row.default),
  "accelerator": tuple(row.name for row in _ACCELERATOR),
  "tiny": tuple(row.name for row in _TINY),
}
"""Names of rows that are measured together."""

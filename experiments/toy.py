"""Trains a GAN on points in the plane, or a critic where the distance is known.

python -m experiments.toy --dataset=ring --penalty=gp

ring, grid and swiss_roll are learned. two_gaussians and funnels bring a fixed generator whose
distance to the data, and whose optimal critic's gradient, are known: the critic alone is trained,
and measured. Makes a run folder like that of experiments.mnist; the pictures show samples on the
critic's level sets.
"""

import pathlib

from absl import flags

from experiments.engine.start import start
from experiments.host import cli
from experiments.spec import flags as shared_flags
from experiments.spec import reading
from experiments.spec.datasets import POINTS
from experiments.spec.defaults import defaults_table, steps_text


def register(flag_values: flags.FlagValues) -> None:
  """Registers this launcher's flags."""
  shared_flags.register_rows(flag_values, ("dataset", "ring", "The points.", list(POINTS)))
  shared_flags.register_settings(flag_values, POINTS)
  preset = "the settings of the gradient penalty's authors, 100,000 steps of 3 x 512 units: hours."
  shared_flags.register_preset(flag_values, paper=preset)
  every = {"log_every": 100, "sample_every": 500, "checkpoint_every": 1000, "slow_every": None}
  shared_flags.register_run(flag_values, steps_text=steps_text("points"), **every)
  shared_flags.register_single(flag_values)


def main(flag_values: flags.FlagValues) -> None:
  """Trains a run, or goes on with it."""
  if flag_values.slow_every is None:  # About every 500 steps, where there is a line.
    flag_values.slow_every = max(1, 500 // flag_values.log_every) * flag_values.log_every
  shared_flags.check_run(flag_values)
  settings = reading.read_settings(flag_values, flag_values.dataset)
  start(flag_values, settings, pathlib.Path(flag_values.workdir or f"runs/{settings.run_name()}"))


if __name__ == "__main__":
  raise SystemExit(cli.run(main, register, f"{__doc__}\n{defaults_table('ring')}"))

"""Trains a GAN on MNIST, Fashion-MNIST, stacked MNIST or the embedded digits.

python -m experiments.mnist --penalty=gp

Makes a run folder under runs/ with metrics, pictures and checkpoints. The same command again goes
on where the run stopped; a larger --steps extends it.
"""

import pathlib

from absl import flags

from experiments.engine.opening import recorded_dataset
from experiments.engine.start import start
from experiments.host import cli
from experiments.spec import flags as shared_flags
from experiments.spec import reading
from experiments.spec.datasets import DIGITS
from experiments.spec.defaults import defaults_table, steps_text


def register(flag_values: flags.FlagValues) -> None:
  """Registers this launcher's flags."""
  shared_flags.register_images(flag_values, *DIGITS)
  shared_flags.register_settings(flag_values, DIGITS)
  preset = "Algorithm 1 of both papers on a DCGAN, 20,000 steps: an hour on 2 cores."
  shared_flags.register_preset(flag_values, paper=preset)
  shared_flags.register_run(flag_values, steps_text=steps_text("images"))
  shared_flags.register_single(flag_values)


def main(flag_values: flags.FlagValues) -> None:
  """Trains a run, or goes on with it."""
  shared_flags.check_run(flag_values)

  def settings(dataset):
    return reading.read_settings(flag_values, dataset)

  def path(dataset):
    return pathlib.Path(flag_values.workdir or f"runs/{settings(dataset).run_name()}").expanduser()

  name = reading.choose_dataset(flag_values, lambda name: recorded_dataset(path(name), "run"))
  start(flag_values, settings(name), path(name), flag_values.data_dir)


if __name__ == "__main__":
  raise SystemExit(cli.run(main, register, f"{__doc__}\n{defaults_table('mnist')}"))

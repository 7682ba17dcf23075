"""Trains a GAN on MNIST, Fashion-MNIST, stacked MNIST or the embedded digits.

python -m experiments.mnist --penalty=gp

Makes a run folder under runs/ with metrics, pictures and checkpoints. The same command again goes
on where the run stopped; a larger --steps extends it.
"""

import dataclasses
import pathlib
import sys

from absl import flags

from experiments.engine.folder import recorded_dataset
from experiments.engine.start import start
from experiments.host import cli
from experiments.spec import data_flags
from experiments.spec import flags as shared_flags
from experiments.spec.methods import methods_table


def register(flag_values: flags.FlagValues) -> None:
  """This launcher's flags."""
  data_flags.register_images(flag_values)
  shared_flags.register_method(flag_values)
  shared_flags.register_run(flag_values)
  shared_flags.register_single(flag_values)


def main(flag_values: flags.FlagValues) -> None:
  """Trains, or goes on training."""
  shared_flags.check_run(flag_values)
  settings = shared_flags.read_settings(flag_values, flag_values.dataset)

  def run_path(dataset):
    named = dataclasses.replace(settings, dataset=dataset).run_name()
    return pathlib.Path(flag_values.workdir or f"runs/{named}").expanduser()

  name = data_flags.choose_dataset(flag_values, lambda name: recorded_dataset(run_path(name)))
  start(
    flag_values, dataclasses.replace(settings, dataset=name), run_path(name), flag_values.data_dir
  )


if __name__ == "__main__":
  sys.exit(cli.run(main, register, f"{__doc__}\n{methods_table('mnist')}"))

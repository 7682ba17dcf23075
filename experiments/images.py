"""Trains a GAN on images in colour or grey: a folder of your own, CIFAR-10 or CIFAR-100.

python -m experiments.images --folder=PATH --size=64
python -m experiments.images --dataset=cifar10 --preset=fast

The folder is any tree of PNG, JPEG and WebP files; with --conditional its subfolders are classes.
Images are cropped to the middle and resized once, a tenth of them is held out. Makes a run folder
under runs/ like that of experiments.mnist; the same command goes on where the run stopped.
"""

import pathlib

from absl import flags

from experiments.engine.start import start
from experiments.host import cli
from experiments.spec import flags as shared_flags
from experiments.spec import reading
from experiments.spec.datasets import COLOURED
from experiments.spec.defaults import defaults_table, steps_text


def register(flag_values: flags.FlagValues) -> None:
  """Registers this launcher's flags."""
  named = [name for name in COLOURED if name != "folder"]
  tfds = "TFDS folder of --dataset; TFDS_DATA_DIR if not given, or TFDS's own."
  shared_flags.register_rows(
    flag_values,
    ("dataset", None, "A data set of TFDS, instead of --folder.", named),
    ("data_dir", None, tfds),
  )
  shared_flags.register_settings(flag_values, COLOURED)
  shared_flags.register_preset(
    flag_values,
    wgan_gp_resnet="the gradient penalty's authors' networks and settings for CIFAR-10, 100,000"
    " steps: a day on a GPU.",
    fast="a DCGAN with one critic update a step, in bfloat16, 100,000 steps: hours on a GPU.",
  )
  shared_flags.register_run(flag_values, steps_text=steps_text("images"))
  shared_flags.register_single(flag_values)


def main(flag_values: flags.FlagValues) -> None:
  """Trains a run, or goes on with it."""
  shared_flags.check_run(flag_values)
  settings = reading.read_settings(flag_values, reading.choose_dataset(flag_values))
  path = pathlib.Path(flag_values.workdir or f"runs/{settings.run_name()}")
  start(flag_values, settings, path, flag_values.data_dir)


if __name__ == "__main__":
  raise SystemExit(cli.run(main, register, f"{__doc__}\n{defaults_table('cifar10')}"))

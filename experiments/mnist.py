"""Trains a GAN on MNIST, Fashion-MNIST or the embedded digits.

python -m experiments.mnist --penalty=gp

Makes a run folder under runs/ with metrics, pictures and checkpoints. The same command again goes
on where the run stopped; a larger --steps extends it.
"""

import dataclasses
import pathlib
import sys

from absl import flags

from experiments.harness import cli
from experiments.harness import flags as shared_flags
from experiments.harness.loop import Intervals, train
from experiments.harness.run_folder import describe_environment, open_run, recorded_dataset
from experiments.harness.settings import METHODS
from wgan_jax.data.images import load_images, resolve_auto

DEFAULT_STEPS = 1500


def register(flag_values: flags.FlagValues) -> None:
  """This launcher's flags."""
  shared_flags.register_method(flag_values)
  shared_flags.register_run(flag_values, steps=DEFAULT_STEPS)


def main(flag_values: flags.FlagValues) -> None:
  """Trains, or goes on training."""
  shared_flags.read_settings(flag_values, "")  # Refuses idle flags before anything is looked for.
  settings = shared_flags.read_settings(flag_values, _choose_dataset(flag_values))
  path = pathlib.Path(flag_values.workdir or pathlib.Path("runs") / settings.run_name())
  images = load_images(settings.dataset, flag_values.data_dir)
  with open_run(path, settings, flag_values.flag_values_dict()) as folder:
    environment = describe_environment()
    print(f"run folder {folder.path}")
    print(
      f"{settings.dataset}: {len(images.train_images)} training images,"
      f" {len(images.test_images)} held out"
    )
    print("  ".join(f"{k}={v}" for k, v in dataclasses.asdict(settings).items() if v is not None))
    print(f"on {environment['platform']} {environment['device']}, {environment['threads']} threads")
    for note in settings.notes():
      print(f"note: {note}")
    train(
      folder,
      settings,
      images,
      steps=flag_values.steps,
      intervals=Intervals(
        flag_values.log_every, flag_values.sample_every, flag_values.checkpoint_every
      ),
      tensorboard=flag_values.tensorboard,
    )


def _choose_dataset(flag_values: flags.FlagValues) -> str:
  """The data set asked for; with auto that of the run in --workdir, else the best there is."""
  if flag_values.dataset == "digits" and flag_values.data_dir is not None:
    raise cli.UserError("--data_dir does nothing with --dataset=digits: leave it out")
  if flag_values.dataset != "auto":
    return flag_values.dataset
  recorded = flag_values.workdir and recorded_dataset(pathlib.Path(flag_values.workdir))
  if recorded:
    return recorded
  dataset = resolve_auto(flag_values.data_dir)
  if dataset == "digits":
    print(
      "warning: MNIST is neither prepared nor to be downloaded here: training on the embedded"
      " digits (--dataset=digits)",
      file=sys.stderr,
    )
  return dataset


if __name__ == "__main__":
  sys.exit(cli.run(main, register, f"{__doc__}\n{METHODS}"))

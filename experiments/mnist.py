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
from experiments.harness.display import check_tensorboard
from experiments.harness.environment import describe_environment
from experiments.harness.loop import Intervals, train
from experiments.harness.run_folder import check_folder, open_run, recorded_dataset
from experiments.harness.settings import methods_table
from wgan_jax.data.images import load_images


def register(flag_values: flags.FlagValues) -> None:
  """This launcher's flags."""
  shared_flags.register_method(flag_values)
  shared_flags.register_run(flag_values)
  flags.DEFINE_integer(
    "seed",
    0,
    "Seed of every draw.",
    lower_bound=0,
    upper_bound=shared_flags.MAX_SEED,
    flag_values=flag_values,
  )
  flags.DEFINE_boolean(
    "tensorboard", False, "Write TensorBoard events too.", flag_values=flag_values
  )


def main(flag_values: flags.FlagValues) -> None:
  """Trains, or goes on training."""
  shared_flags.check_run(flag_values)
  check_tensorboard(flag_values.tensorboard)
  settings = shared_flags.read_settings(flag_values, flag_values.dataset)

  def run_path(dataset):
    named = dataclasses.replace(settings, dataset=dataset).run_name()
    return pathlib.Path(flag_values.workdir or f"runs/{named}").expanduser()

  dataset = shared_flags.choose_dataset(flag_values, lambda name: recorded_dataset(run_path(name)))
  settings, path = dataclasses.replace(settings, dataset=dataset), run_path(dataset)
  environment = describe_environment()
  check_folder(path, settings)  # Before minutes go into data for a folder that cannot be used.
  images = load_images(settings.dataset, flag_values.data_dir)
  flags_given = flag_values.flag_values_dict()
  with open_run(path, settings, images, flags_given, environment) as folder:
    print(f"run folder {folder.path}")
    print(f"on {environment['platform']} {environment['device']}, {environment['threads']} threads")
    print(
      f"{settings.dataset}: {len(images.train_images)} training images,"
      f" {len(images.test_images)} held out"
    )
    print("  ".join(f"{k}={v}" for k, v in dataclasses.asdict(settings).items() if v is not None))
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


if __name__ == "__main__":
  sys.exit(cli.run(main, register, f"{__doc__}\n{methods_table()}"))

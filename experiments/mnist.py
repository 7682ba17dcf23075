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
from experiments.harness.environment import describe_environment
from experiments.harness.loop import Intervals, train
from experiments.harness.run_folder import check_folder, open_run, recorded_dataset
from experiments.harness.settings import Settings, methods_table
from wgan_jax.data.images import load_images, resolve_auto

DEFAULT_STEPS = 1200


def register(flag_values: flags.FlagValues) -> None:
  """This launcher's flags."""
  shared_flags.register_method(flag_values)
  shared_flags.register_run(flag_values, steps=DEFAULT_STEPS)


def main(flag_values: flags.FlagValues) -> None:
  """Trains, or goes on training."""
  shared_flags.check_run(flag_values)
  settings = _choose_settings(flag_values)
  path = _run_path(flag_values, settings)
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


def _run_path(flag_values: flags.FlagValues, settings: Settings) -> pathlib.Path:
  if flag_values.workdir is not None:
    return pathlib.Path(flag_values.workdir).expanduser()
  return pathlib.Path("runs") / settings.run_name()


def _choose_settings(flag_values: flags.FlagValues) -> Settings:
  """The flags' settings; --dataset=auto is the data set of the run that is there, else the best."""
  settings = shared_flags.read_settings(flag_values, flag_values.dataset)
  if flag_values.dataset != "auto":
    return settings
  for name in ("mnist", "digits"):
    candidate = dataclasses.replace(settings, dataset=name)
    recorded = recorded_dataset(_run_path(flag_values, candidate))
    if recorded is not None:
      print(
        f"going on with {recorded}, as the run that is there; --dataset=mnist decides otherwise"
      )
      return dataclasses.replace(settings, dataset=recorded)
  name = resolve_auto(flag_values.data_dir)
  if name == "digits":
    print(
      "warning: no MNIST here that could be read or downloaded (see --data_dir): training on the"
      " embedded digits (--dataset=digits)",
      file=sys.stderr,
    )
  return dataclasses.replace(settings, dataset=name)


if __name__ == "__main__":
  sys.exit(cli.run(main, register, f"{__doc__}\n{methods_table()}"))

"""Begins or goes on with one run: what the launchers that train one run have in common."""

import dataclasses
import pathlib

from absl import flags

from experiments.engine.display import check_tensorboard
from experiments.engine.folder import check_folder, open_run
from experiments.engine.loop import Intervals, train
from experiments.host.environment import describe_environment, use_compilation_cache
from experiments.spec.notes import notes
from experiments.spec.settings import Settings


def start(
  flag_values: flags.FlagValues,
  settings: Settings,
  path: pathlib.Path,
  data_dir: str | None = None,
) -> None:
  """Trains as the flags of `register_run` and `register_single` ask for.

  Args:
    flag_values: the launcher's flags, recorded.
    settings: of the run.
    path: the run folder.
    data_dir: TFDS folder of images; None for the usual one.

  Raises:
    UserError: a flag or the folder cannot be used.
    DataError: the data cannot be had.
    Stopped: the run ended before its time.
  """
  check_tensorboard(flag_values.tensorboard)
  path = path.expanduser()
  use_compilation_cache(flag_values.compilation_cache)
  environment = describe_environment()
  check_folder(path, settings)  # Before minutes go into data for a folder that cannot be used.
  dataset = settings.load(data_dir)
  with open_run(path, settings, dataset, flag_values.flag_values_dict(), environment) as folder:
    print(f"run folder {folder.path}")
    print(f"on {environment['platform']} {environment['device']}, {environment['threads']} threads")
    print(f"{settings.dataset}: {dataset.description}")
    print("  ".join(f"{k}={v}" for k, v in dataclasses.asdict(settings).items() if v is not None))
    for note in notes(settings, flag_values.steps):
      print(f"note: {note}")
    train(
      folder,
      settings,
      dataset,
      steps=flag_values.steps,
      intervals=Intervals(
        flag_values.log_every,
        flag_values.sample_every,
        flag_values.checkpoint_every,
        flag_values.slow_every,
      ),
      tensorboard=flag_values.tensorboard,
    )

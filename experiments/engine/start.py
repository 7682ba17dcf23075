"""Begins or goes on with one run: what the launchers that train one run have in common."""

import contextlib
import dataclasses
import importlib.util
import pathlib

from absl import flags

from experiments.engine.display import Display
from experiments.engine.engine import Engine
from experiments.engine.folder import RunFolder, check_folder
from experiments.engine.following import follow
from experiments.engine.loop import Intervals, train
from experiments.engine.opening import locked, write_record
from experiments.engine.places import RunPlace
from experiments.engine.planning import choose_data_parallel
from experiments.host import checkpoints
from experiments.host.environment import (
  describe_environment,
  use_all_cores,
  use_compilation_cache,
)
from experiments.host.errors import UserError
from experiments.host.joining import joined
from experiments.host.signals import stop_signals
from experiments.measures.classes import load_classifier_measures
from experiments.spec.notes import describe_clipping, notes
from experiments.spec.settings import Settings, make_loader


def start(
  flag_values: flags.FlagValues, settings: Settings, path: pathlib.Path, data_dir: str | None = None
) -> None:
  """Trains as the flags of `register_run` and `register_single` ask for.

  All flags are recorded. `data_dir` is the TFDS folder of images; None for the usual one.

  Raises:
    UserError: a flag or the folder cannot be used.
    DataError: the data cannot be had.
    Stopped: the run ended before its time.
  """
  if flag_values.tensorboard and importlib.util.find_spec("tensorboardX") is None:
    raise UserError(
      "--tensorboard needs tensorboardX: install the extra, pip install -e '.[tensorboard]'"
    )
  use_compilation_cache(flag_values.compilation_cache)
  if flag_values.data_parallel:
    use_all_cores()  # Where there are only these.
  with joined(flag_values) as team:
    if team.leads:
      _lead(flag_values, settings, path.expanduser(), data_dir, team)
    else:
      load = make_loader(data_dir)
      team.agree(data_sha256=load(settings).digest())
      follow(team, load)


def _lead(flag_values, settings, path, data_dir, team):
  steps = flag_values.steps
  environment = describe_environment()
  data_parallel = choose_data_parallel(flag_values.data_parallel, [settings])
  environment |= {"data_parallel": data_parallel}
  check_folder(path, settings)  # Before minutes go into data for a folder that cannot be used.
  folder = RunFolder(path)
  kept = checkpoints.steps(folder.checkpoints)
  if kept and kept[-1] > steps:
    print(f"{path} is at step {kept[-1]} already: --steps={steps} asks for nothing more")
    return
  dataset = settings.load(data_dir)
  team.agree(data_sha256=dataset.digest())
  intervals = Intervals.of_flags(flag_values)
  with locked(path):
    check_folder(path, settings)  # Another process may have begun a run in the meantime.
    folder.check_saved_lines()  # Before anything is written.
    record = {"settings": dataclasses.asdict(settings), "flags": flag_values.flag_values_dict()}
    record |= dataset.named_classes()
    write_record(folder.config, record, dataset.digest(), environment, changed=dataset.changed)
    print(f"run folder {path}")
    print(f"on {environment['platform']} {environment['device']}, {environment['threads']} threads")
    if data_parallel > 1:
      where = f"devices of {team.n} processes" if team.n > 1 else "devices"
      print(f"each batch over {data_parallel} of {environment['devices']} {where}")
    print(f"{settings.title}: {dataset.description}")
    print("  ".join(f"{k}={v}" for k, v in dataclasses.asdict(settings).items() if v is not None))
    if clipping := describe_clipping(settings):
      print(clipping)
    for note in notes(settings, steps):
      print(f"note: {note}")
    classifier = load_classifier_measures(dataset) if intervals.slow else None
    engine = Engine(
      [settings],
      dataset,
      intervals.capacity(),
      classifier=classifier,
      data_parallel=data_parallel,
      team=team,
    )
    place = RunPlace(folder, settings, tensorboard=flag_values.tensorboard)
    display = Display(1, steps, kept[-1] if kept else 0)
    with (
      contextlib.closing(place),
      contextlib.closing(display),
      stop_signals(stop=team.stop) as stop,
    ):
      train(engine, place, steps=steps, intervals=intervals, display=display, stop=stop)
    print(f"done: {path} (samples/{folder.sample(steps).name}, curves.png, metrics.jsonl)")

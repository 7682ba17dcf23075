"""The run folder: what it holds, how it is opened, and when the same command may go on in it.

config.json      settings, flags and environment: all that is needed to repeat the run
metrics.jsonl    one line an interval, without any wall-clock figure
timing.jsonl     the wall-clock figures
samples/         pictures from fixed latents, step_000300.png
curves.png       the metrics drawn
checkpoints/     the last three, each with a digest
summary.json     how the run ended
tensorboard/     events, with --tensorboard
"""

import contextlib
import dataclasses
import fcntl
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

import jax

from experiments.harness.errors import UserError
from experiments.harness.files import read_json, write_json
from experiments.harness.settings import Settings

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
_OURS = (".lock", "samples")  # What is there before config.json is.


@dataclasses.dataclass(frozen=True)
class RunFolder:
  """The paths of a run."""

  path: pathlib.Path

  @property
  def config(self) -> pathlib.Path:
    return self.path / "config.json"

  @property
  def metrics(self) -> pathlib.Path:
    return self.path / "metrics.jsonl"

  @property
  def timing(self) -> pathlib.Path:
    return self.path / "timing.jsonl"

  @property
  def checkpoints(self) -> pathlib.Path:
    return self.path / "checkpoints"

  @property
  def curves(self) -> pathlib.Path:
    return self.path / "curves.png"

  @property
  def summary(self) -> pathlib.Path:
    return self.path / "summary.json"

  @property
  def tensorboard(self) -> pathlib.Path:
    return self.path / "tensorboard"

  def sample(self, step: int) -> pathlib.Path:
    return self.path / "samples" / f"step_{step:06d}.png"

  def read_settings(self) -> Settings:
    """The settings of the run that is here.

    Raises:
      UserError: there is no run here, or its config.json is damaged.
    """
    if not self.config.is_file():
      raise UserError(f"--workdir={self.path} holds no run: it has no config.json")
    try:
      return Settings(**read_json(self.config)["settings"])
    except (KeyError, TypeError) as error:
      raise UserError(f"{self.config}: damaged, its settings are not those of a run") from error


def recorded_dataset(path: pathlib.Path) -> str | None:
  """The data set of the run in `path`, or None where there is no run yet."""
  folder = RunFolder(path)
  return folder.read_settings().dataset if folder.config.exists() else None


@contextlib.contextmanager
def open_run(path: pathlib.Path, settings: Settings, flags: dict) -> Iterator[RunFolder]:
  """Makes a run folder, or opens the one of an earlier start of the same run; locked while open.

  Args:
    path: the folder; made where it does not exist.
    settings: must agree with the recorded ones.
    flags: all flags, recorded.

  Yields:
    The folder, its config.json written.

  Raises:
    UserError: the folder cannot be used, or holds another run.
  """
  folder = RunFolder(path)
  if path.exists() and not path.is_dir():
    raise UserError(f"--workdir={path} is a file: name a folder")
  if folder.config.exists():
    _assert_same(folder, settings)
  elif path.exists() and any(child.name not in _OURS for child in path.iterdir()):
    raise UserError(f"--workdir={path} holds other files and no run: name another folder")
  try:
    (path / "samples").mkdir(parents=True, exist_ok=True)
    lock = (path / ".lock").open("w")
  except OSError as error:
    raise UserError(f"--workdir={path} cannot be written ({error.strerror})") from error
  with lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      raise UserError(f"--workdir={path} is in use by another process: wait for it") from error
    _record(folder, settings, flags)
    yield folder


def _record(folder, settings, flags):
  environment = describe_environment()
  record = {
    "settings": dataclasses.asdict(settings),
    "flags": flags,
    "environment": environment,
    "resumed_in": [],
  }
  if folder.config.exists():
    earlier = read_json(folder.config)
    record["environment"] = earlier.get("environment", {})
    record["resumed_in"] = earlier.get("resumed_in", [])
    last = (record["resumed_in"] or [record["environment"]])[-1]
    changed = [name for name in environment if environment[name] != last.get(name)]
    if changed:
      record["resumed_in"].append(environment)
      print(
        f"warning: {', '.join(changed)} changed since the run was started: it goes on, but not bit"
        " for bit as it would have",
        file=sys.stderr,
      )
  write_json(folder.config, record)


def _assert_same(folder, settings):
  recorded = folder.read_settings()
  differ = [
    f"--{field.name} ({getattr(recorded, field.name)} there, {getattr(settings, field.name)} here)"
    for field in dataclasses.fields(Settings)
    if getattr(recorded, field.name) != getattr(settings, field.name)
  ]
  if differ:
    raise UserError(
      f"--workdir={folder.path} holds another run, which differs in {', '.join(differ)}: agree with"
      " it or name another folder"
    )


def describe_environment() -> dict:
  """What, apart from the settings, may change the bits of a result."""
  device = jax.devices()[0]
  threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
  return {
    "python": platform.python_version(),
    **{name: metadata.version(name) for name in _PACKAGES},
    "platform": device.platform,
    "device": device.device_kind,
    "threads": threads,
    "dtype": "float32",
    "matmul_precision": str(jax.config.jax_default_matmul_precision or "default"),
    "xla_flags": os.environ.get("XLA_FLAGS", ""),
    "commit": _commit(),
  }


def _commit() -> str | None:
  """The commit of this clone, marked where files differ from it; None outside a repository."""
  here = pathlib.Path(__file__).parent
  try:
    return subprocess.run(
      ["git", "describe", "--always", "--dirty", "--abbrev=12"],
      cwd=here,
      capture_output=True,
      text=True,
      check=True,
      timeout=10,
    ).stdout.strip()
  except (OSError, subprocess.SubprocessError):
    return None

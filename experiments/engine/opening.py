"""Opens the folder of a run or a sweep: refuses others, locks it, reads and writes config.json.

A `kind` is "run" or "sweep": what a folder should hold.
"""

import contextlib
import fcntl
import os
import pathlib
import sys
from collections.abc import Callable, Iterator

import jax

from experiments.engine.records import ConfigFile
from experiments.host.environment import installed_version
from experiments.host.errors import UserError
from experiments.host.files import check, is_partial, open_regular, read_json, write_json
from experiments.spec.settings import Settings

FORMAT = 2
"""The form of a config.json that is written; a file without a number is of the first form, 1."""
# Folders that launchers write in: a link would lead to others' files.
_WRITTEN = ["samples", "checkpoints", "checkpoints/*", "tensorboard", "figures", "runs", "runs/*"]
_WRITTEN += ["group", "group/*", "members", "members/*", "members/*/samples"]
_WRITTEN += ["members/*/checkpoints", "members/*/checkpoints/*"]
_VERSION = installed_version("wgan_jax") or "unknown"  # In a clone that is not installed.


def is_unused(path: pathlib.Path, kind: str) -> bool:
  """Whether nothing was begun yet in a folder, which need not exist.

  Raises:
    UserError: it is a file, or holds other files.
  """
  if path.exists() and not path.is_dir():
    raise UserError(f"--workdir={path} is a file: name a folder")
  if (path / "config.json").exists():
    return False
  if path.exists() and not all(map(_is_before_config, path.iterdir())):
    raise UserError(f"--workdir={path} holds other files and no {kind}: name another folder")
  return True


def check_outside(path: pathlib.Path, settings: Settings) -> None:
  """Refuses a place within the folder of images that a run trains on: its pictures would join them.

  Raises:
    UserError: it is there.
  """
  inside = settings.folder and path.resolve().is_relative_to(
    pathlib.Path(settings.folder).resolve()
  )
  if inside:
    raise UserError(
      f"--workdir={path} is inside --folder={settings.folder}, whose images would become more: name"
      " another --workdir"
    )


def _is_before_config(child: pathlib.Path) -> bool:
  """Whether it is what a start that was killed may leave before config.json."""
  return child.name == ".lock" or (is_partial(child) and child.name.startswith(".config.json."))


def read_record(config: pathlib.Path) -> dict:
  """Reads a config.json.

  Raises:
    UserError: the file is missing, damaged, or of another form.
  """
  record = read_json(config)
  check_format(record, config)
  return check(record, ConfigFile, config)


def read_recorded(config: pathlib.Path, kind: str) -> list[Settings]:
  """Reads the settings of a run, or of all members of a sweep, from its config.json.

  Raises:
    UserError: the file is missing, damaged, or of the other kind.
  """
  if not config.is_file():
    raise UserError(f"--workdir={config.parent} holds no {kind}: it has no config.json")
  record = read_record(config)
  if kind == "run" and "members" in record:
    raise UserError(
      f"--workdir={config.parent} holds a sweep: name one of the runs in its members/"
    )
  _check_prng(record, config)
  if kind == "sweep" and "members" not in record:
    raise UserError(f"{config}: damaged, or of a single run: it lists no members")
  try:
    return [Settings.of_record(each) for each in record.get("members", [record.get("settings")])]
  except ValueError as error:
    raise UserError(f"{config}: damaged, or of another version: {error}") from error


def recorded_dataset(path: pathlib.Path, kind: str) -> str | None:
  """Reads the data set of the run or sweep in a folder; None if nothing was begun there yet."""
  config = path / "config.json"
  return read_recorded(config, kind)[0].dataset if config.exists() else None


def check_data(
  config: pathlib.Path, data_sha256: str, changed: Callable[[str], str] = lambda sha256: ""
) -> None:
  """Refuses other data than those that a config.json records.

  Args:
    config: the file.
    data_sha256: the digest of the data that are there.
    changed: as in `Dataset`.

  Raises:
    UserError: they are others of the same name.
  """
  recorded = read_record(config)["data_sha256"]
  if recorded == data_sha256:
    return
  if files := changed(recorded):
    raise UserError(
      f"--workdir={config.parent} was trained on other images: {files}; restore the folder, or name"
      " another --workdir"
    )
  raise UserError(
    f"--workdir={config.parent} was trained on other data of the same name: use the --data_dir, the"
    " files and the package versions recorded in its config.json"
  )


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
  """Makes the folder where it does not exist, and keeps other processes out of it.

  Raises:
    UserError: it cannot be written, is in use, or a folder in it is a link.
  """
  try:
    path.mkdir(parents=True, exist_ok=True)
    lock = open_regular(path / ".lock", os.O_RDWR | os.O_CREAT)
  except OSError as error:
    raise UserError(f"--workdir={path} cannot be written ({error.strerror})") from error
  with lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise UserError(f"--workdir={path} is in use by another process: wait for it") from error
    except OSError:
      pass  # A file system without locks.
    for link in (each for place in _WRITTEN for each in path.glob(place) if each.is_symlink()):
      raise UserError(f"{link} is a link: put the folder itself there")
    yield


def write_record(
  path: pathlib.Path,
  record: dict,
  data_sha256: str,
  environment: dict,
  *,
  warn: bool = True,
  changed: Callable[[str], str] = lambda sha256: "",
) -> None:
  """Writes a config.json: what is recorded, the data, and each environment that had a part.

  Args:
    path: the file; if it exists, the environments in it are kept.
    record: settings or members, and flags.
    environment: `describe_environment()`.
    warn: whether to warn that the environment changed since the last start.
    changed: as in `check_data`.

  Raises:
    UserError: the file that is there is damaged, or of other data.
  """
  data = {"data_sha256": data_sha256, "environment": environment, "resumed_in": []}
  record = stamp() | record | data
  if path.exists():
    earlier = read_record(path)
    record["environment"], record["resumed_in"] = earlier["environment"], earlier["resumed_in"]
    last = [record["environment"], *record["resumed_in"]][-1]
    # A name that an earlier version did not record is not known to have changed.
    differ = [
      name for name in environment if environment[name] != last.get(name, environment[name])
    ]
    check_data(path, data_sha256, changed)
    if differ:
      record["resumed_in"].append(environment)
      if warn:
        print(
          f"warning: {', '.join(differ)} changed since the run was started: it goes on, but"
          " perhaps not bit for bit as it would have",
          file=sys.stderr,
        )
  write_json(path, record)


def _check_prng(record: dict, config: pathlib.Path) -> None:
  """Refuses a run whose keys are of another generator of random numbers than JAX's own now."""
  recorded = record["environment"].get("prng")
  now = jax.config.jax_default_prng_impl
  if recorded not in (None, now):
    raise UserError(
      f"{config}: begun with the random numbers of {recorded}, JAX has {now} now: set"
      f" JAX_DEFAULT_PRNG_IMPL={recorded}"
    )


def stamp() -> dict:
  """The fields that say how a config.json is to be read."""
  return {"format": FORMAT, "version": _VERSION}


def check_format(record: dict, path: pathlib.Path) -> None:
  """Refuses a config.json of a form that this version does not read.

  Raises:
    UserError: names the file, its form and the version that wrote it.
  """
  found = record.get("format", 1)
  if type(found) is not int or found < 1:
    raise UserError(f"{path}: damaged: its format is no number from 1 on")
  if found != FORMAT:
    raise UserError(
      f"{path}: format {found}, written by wgan_jax {record.get('version', 'of unknown version')};"
      f" wgan_jax {_VERSION} reads format {FORMAT}: use the version that wrote it"
    )

"""Checkpoints: written by orbax, verified by two digests when they are read.

checkpoints/300/state is orbax's. checkpoints/300/digest.json is written last: if it is missing, the
saving was cut short. It holds a digest of the files (verified before orbax opens them), a digest of
the state (verified on what orbax read), the metrics that wait for their line, and a digest of the
lines that were there.
"""

import contextlib
import json
import logging
import pathlib
import sys
import time
from typing import NamedTuple, NotRequired, TypedDict

import chex
import jax

from experiments.host.digest import digest_files, digest_shapes, digest_state, to_numpy
from experiments.host.errors import UserError
from experiments.host.files import read_json, remove_folder, write_json
from wgan_jax.saving import with_keys, without_keys

_KEEP = 3
_DIGEST = "digest.json"
_MARKS = {"state", "_CHECKPOINT_METADATA"}  # What orbax leaves in the folder of a step.


class _OtherStructureError(UserError):
  """A checkpoint verifies, and is of another program."""


class Logged(TypedDict):
  """The lines of metrics that a run had written: how many, and their SHA-256."""

  n: int
  sha256: str


class _Digests(TypedDict):
  files: str
  state: str
  shapes: NotRequired[str]
  pending: list[dict[str, float] | list[dict[str, float]]]
  logged: NotRequired[list[Logged] | None]


class Checkpoint(NamedTuple):
  """A saved state of a run.

  Attributes:
    step: the step that it was saved at.
    state: a tree of arrays, such as the training state.
    pending: rows of Info, as plain dicts, of the steps since the last line of metrics, or any other
      JSON value.
    logged: the lines of metrics that each member goes on from; None where they are not known, as
      of an earlier version's checkpoint.
  """

  step: int
  state: chex.ArrayTree
  pending: list
  logged: list[Logged] | None = None


def steps(directory: pathlib.Path) -> list[int]:
  """Lists the steps whose checkpoints were saved to the end, ascending, damaged ones included."""
  return [step for step in _all_steps(directory) if (directory / str(step) / _DIGEST).exists()]


def save(directory: pathlib.Path, checkpoint: Checkpoint) -> None:
  """Saves a checkpoint, and keeps the last few.

  Raises:
    UserError: the disk is full or cannot be written.
  """
  import orbax.checkpoint as ocp  # When it is first used, so that a start need not wait for it.

  state = to_numpy(checkpoint.state)
  try:
    with _manager(directory) as manager:
      items = ocp.args.Composite(state=ocp.args.StandardSave(state))
      manager.save(checkpoint.step, args=items, force=True)  # Else it may skip one silently.
  except (OSError, ValueError) as error:  # tensorstore raises ValueError, even for a full disk.
    raise UserError(
      f"{directory}: the checkpoint of step {checkpoint.step} cannot be saved: is the disk full?"
      " With room made, the same command goes on from the one before"
    ) from error
  folder = directory / str(checkpoint.step)
  kept = {"pending": checkpoint.pending, "logged": checkpoint.logged}
  files, state = _digest_files(folder, kept), digest_state(checkpoint.state)
  digests = {"files": files, "state": state, "shapes": digest_shapes(checkpoint.state)}
  write_json(folder / _DIGEST, digests | kept)


def restore(directory: pathlib.Path, step: int, like: chex.ArrayTree) -> Checkpoint:
  """Reads the checkpoint of `step`, and verifies its digests.

  Args:
    directory: the folder of the checkpoints.
    step: one of `steps(directory)`.
    like: a state, or the shapes and types of one, of the same structure.

  Raises:
    UserError: the checkpoint is damaged or missing, or files are there that are no checkpoint's.
  """
  import orbax.checkpoint as ocp

  check_own(directory)
  folder = directory / str(step)
  damaged = UserError(f"{folder}: damaged, its digests do not agree with its content")
  other = _OtherStructureError(
    f"{folder}: whole, but of other shapes than {directory.parent / 'config.json'} says: restore"
    " that file, or use the version that wrote the checkpoint"
  )
  digests = read_json(folder / _DIGEST, _Digests)
  try:
    if digests["files"] != _digest_files(folder, digests):
      raise damaged
  except OSError as error:
    raise damaged from error
  # Before orbax, whose threads would print a traceback for each array.
  if digests.get("shapes", digest_shapes(like)) != digest_shapes(like):
    raise other
  keyed, like = like, jax.eval_shape(without_keys, like)
  sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), like)
  try:
    with _manager(directory) as manager:
      items = manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(like)))
  except (KeyError, TypeError, ValueError) as error:
    raise other from error
  state = with_keys(items.state, keyed)
  if digests["state"] != digest_state(state):
    raise damaged
  return Checkpoint(step, state, digests["pending"], digests.get("logged"))


def restore_newest(directory: pathlib.Path, like: chex.ArrayTree) -> Checkpoint | None:
  """Reads the newest checkpoint that verifies, or None if there is none; warns of damaged ones.

  Raises:
    UserError: there are checkpoints, but none verifies, one is of other shapes, or files are there
      that are no checkpoint's.
  """
  check_own(directory)
  kept = steps(directory)
  for step in reversed(kept):
    try:
      return restore(directory, step, like)
    except _OtherStructureError:
      raise  # So have the others: none is damaged.
    except UserError as error:
      print(f"warning: {error}", file=sys.stderr)
  if kept:
    raise UserError(
      f"{directory}: none of the {len(kept)} checkpoints verifies; restore one, or remove"
      f" {directory.parent} to start again"
    )
  return None


def clear_after(directory: pathlib.Path, step: int) -> None:
  """Makes room to save later steps again: deletes unfinished checkpoints, renames damaged ones.

  The run resumes from `step`: later checkpoints did not verify.

  Raises:
    UserError: a folder there was not made by this module: none of its files is touched.
  """
  check_own(directory)
  whole = steps(directory)
  for later in _all_steps(directory):
    folder = directory / str(later)
    if later > step and later in whole:
      folder.rename(directory / f"damaged-{later}-{time.time_ns()}")
    elif later not in whole:
      remove_folder(folder)


def is_own(path: pathlib.Path) -> bool:
  """Whether a folder among checkpoints has a name that this module or orbax gives."""
  name = path.name
  return name.isdecimal() or name.startswith("damaged-") or ".orbax-checkpoint-tmp" in name


def check_own(directory: pathlib.Path) -> None:
  """Refuses what this module did not make: none of its files is to be touched.

  Raises:
    UserError: a link, a pipe, or a step's folder that is no checkpoint.
  """
  if directory.is_symlink():
    raise UserError(f"{directory} is a link: put the checkpoints themselves there")
  for step in _all_steps(directory):
    folder = directory / str(step)
    held = {child.name for child in folder.iterdir()}
    if folder.is_symlink() or (held and not held & _MARKS):
      raise UserError(f"{folder} is no checkpoint: move it elsewhere")
  for path in directory.rglob("*"):  # Orbax reads all of them, and waits for a pipe.
    if not (path.is_file() or path.is_dir()) or path.is_symlink():
      raise UserError(f"{path} is a link or no file: move it elsewhere")
    if ".orbax-checkpoint-tmp" in path.name and not path.is_dir():
      raise UserError(f"{path} is no checkpoint: move it elsewhere")


def logged(directory: pathlib.Path) -> list[Logged]:
  """Returns the lines of the newest checkpoint whose record can be read; empty without one."""
  for step in reversed(steps(directory)):
    with contextlib.suppress(UserError):  # Damaged: said when it is restored.
      return read_json(directory / str(step) / _DIGEST, _Digests).get("logged") or []
  return []


def _all_steps(directory):
  if not directory.is_dir():
    return []
  folders = (child for child in directory.iterdir() if child.is_dir())
  return sorted(int(child.name) for child in folders if child.name.isdecimal())


def _digest_files(folder: pathlib.Path, kept: dict) -> str:
  """SHA-256 of the pending rows, the lines' digest, and of every file's name and content."""
  paths = (path for path in folder.rglob("*") if path != folder / _DIGEST)
  logged = kept.get("logged")
  first = json.dumps(kept["pending"] if logged is None else [kept["pending"], logged])
  return digest_files(paths, folder, first.encode())


def _manager(directory):
  import orbax.checkpoint as ocp

  if sys.unraisablehook is sys.__unraisablehook__:
    sys.unraisablehook = _print_no_closed_loop
  # An error in orbax is raised here. Its threads and unfinished tasks would print it again.
  for name in ("absl", "asyncio"):
    logging.getLogger(name).setLevel(logging.CRITICAL + 1)
  options = {"max_to_keep": _KEEP, "enable_async_checkpointing": False}
  if jax.process_count() > 1:  # The others have no part in it; orbax would wait for them.
    own = {jax.process_index()}
    directory.mkdir(parents=True, exist_ok=True)
    options["create"] = False
    options["multiprocessing_options"] = ocp.options.MultiprocessingOptions(
      primary_host=jax.process_index(), active_processes=own, barrier_sync_key_prefix="one"
    )
  return ocp.CheckpointManager(
    directory.absolute(), options=ocp.CheckpointManagerOptions(**options)
  )


def _print_no_closed_loop(unraisable):
  """Prints what no code can catch, but for the threads of orbax that outlive a failed save."""
  if str(unraisable.exc_value) != "Event loop is closed":
    sys.__unraisablehook__(unraisable)

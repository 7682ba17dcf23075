"""Checkpoints: orbax writes them, and a digest beside each tells damage when it is read."""

import hashlib
import json
import pathlib
import sys
import time
from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from experiments.harness.errors import UserError
from wgan_jax.training import State

_KEEP = 3


class Checkpoint(NamedTuple):
  """What a run needs to go on.

  Attributes:
    state: the training state.
    pending: rows of Info, as plain dicts, of the steps since the last line of metrics.
  """

  state: State
  pending: list[dict]


def steps(directory: pathlib.Path) -> list[int]:
  """The steps of the checkpoints in `directory`, ascending; whole ones, as far as names tell."""
  if not directory.is_dir():
    return []
  return sorted(int(child.name) for child in directory.iterdir() if child.name.isdecimal())


def save(directory: pathlib.Path, checkpoint: Checkpoint) -> None:
  """Saves under the state's step, and keeps the last few."""
  state = _to_numpy(checkpoint.state)
  meta = {"digest": _digest(state, checkpoint.pending), "pending": checkpoint.pending}
  with _manager(directory) as manager:
    manager.save(
      int(state.step),
      args=ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta)),
    )


def restore(directory: pathlib.Path, step: int, like: State) -> Checkpoint:
  """Reads the checkpoint of `step`, and verifies its digest.

  Args:
    directory: the run's checkpoints.
    step: one of `steps(directory)`.
    like: a state of the same structure, shapes and types.

  Raises:
    UserError: the checkpoint is damaged or missing.
  """
  like = jax.eval_shape(lambda state: state._replace(key=jax.random.key_data(state.key)), like)
  sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), like)
  try:
    with _manager(directory) as manager:
      restored = manager.restore(
        step,
        args=ocp.args.Composite(state=ocp.args.StandardRestore(like), meta=ocp.args.JsonRestore()),
      )
    pending, digest = restored.meta["pending"], restored.meta["digest"]
    intact = digest == _digest(jax.tree.map(np.asarray, restored.state), pending)
  except Exception as error:  # orbax raises whatever its layers do for a damaged file.
    raise UserError(f"{directory / str(step)}: damaged or no checkpoint of this run") from error
  if not intact:
    raise UserError(f"{directory / str(step)}: damaged, its digest does not agree with its content")
  state = restored.state._replace(key=jax.random.wrap_key_data(restored.state.key))
  return Checkpoint(state, pending)


def restore_newest(directory: pathlib.Path, like: State) -> Checkpoint | None:
  """The newest checkpoint that verifies, None where there is none; damaged ones are told of.

  Raises:
    UserError: there are checkpoints, and none verifies.
  """
  kept = steps(directory)
  for step in reversed(kept):
    try:
      return restore(directory, step, like)
    except UserError as error:
      print(f"warning: {error}", file=sys.stderr)
  if kept:
    raise UserError(
      f"{directory}: none of the {len(kept)} checkpoints verifies; restore one, or remove the run"
      " folder to start again"
    )
  return None


def set_aside(directory: pathlib.Path, after: int) -> None:
  """Renames later steps' checkpoints, which did not verify, so that the run can save again."""
  for step in steps(directory):
    if step > after:
      (directory / str(step)).rename(directory / f"damaged-{step}-{time.time_ns()}")


def _manager(directory):
  options = ocp.CheckpointManagerOptions(max_to_keep=_KEEP, enable_async_checkpointing=False)
  return ocp.CheckpointManager(directory.absolute(), options=options)


def _to_numpy(state: State) -> State:
  return jax.tree.map(np.asarray, state._replace(key=jax.random.key_data(state.key)))


def _digest(state: State, pending: list[dict]) -> str:
  """SHA-256 of every leaf's place, type, shape and bytes, and of the pending rows."""
  digest = hashlib.sha256(json.dumps(pending).encode())
  for path, leaf in jax.tree_util.tree_leaves_with_path(state):
    digest.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}\n".encode())
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()

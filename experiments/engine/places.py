"""Keeps members between two starts, and ends their folders: of a run alone, or of a group."""

import contextlib
import sys
import time

import chex
import jax
import jax.numpy as jnp
import numpy as np

from experiments.engine.engine import Engine, run_title
from experiments.engine.folder import RunFolder
from experiments.engine.groups import Group, SweepFolder
from experiments.host import checkpoints, files
from experiments.host.checkpoints import Checkpoint
from experiments.host.errors import Stopped, UserError
from experiments.spec.settings import Settings
from wgan_jax.sweep import Members

# Curves take up to a second to draw; while training goes on they may take this share of the time.
_CURVES_SHARE = 0.01


class RunPlace:
  """Keeps a run alone in its open folder, which also has curves and, with `tensorboard`, events."""

  def __init__(self, folder: RunFolder, run: Settings, *, tensorboard: bool = False):
    self.path, self.folders, self.title = folder.path, [folder], run_title(run)
    self.timing, self.details, self.events = folder.timing, {}, None
    self._folder, self._seed, self._tensorboard = folder, run.seed, tensorboard
    self._curves_due = 0.0

  def restore(self, engine: Engine) -> Checkpoint:
    """Returns the step, the members and their pending rows, of the newest checkpoint or the start.

    Raises:
      UserError: there are checkpoints, and none verifies.
    """
    start = engine.fetch(engine.init())
    kept = checkpoints.restore_newest(self._folder.checkpoints, _one_like(start.state))
    return Checkpoint(0, start, [[]], [None]) if kept is None else _join([kept], start)

  def begin(self, logged: int) -> None:
    """Prepares the folder for steps after the line of metrics of step `logged`."""
    files.remove_file(self._folder.summary)
    self._folder.samples.mkdir(exist_ok=True)
    if self._tensorboard:
      from tensorboardX import SummaryWriter  # An extra, and slow to import.

      # Later events come again.
      self.events = SummaryWriter(str(self._folder.tensorboard), purge_step=logged + 1)

  def close(self) -> None:
    """Closes the events."""
    if self.events is not None:
      self.events.close()

  def draw(self, engine: Engine, members: Members, *, last: bool = False) -> None:
    """Draws samples, and curves as often as they hold up training little."""
    with _warning_instead():
      self._draw(engine, members, last)

  def _draw(self, engine, members, last):
    engine.draw(members, self.folders)
    (step,) = members.state.step.tolist()
    if step and self.events is not None:
      from PIL import Image

      with Image.open(self._folder.sample(step)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
      self.events.add_image("samples", pixels, step, dataformats="HWC")
    started = time.perf_counter()
    rows = self._folder.lines()  # Empty before the first line.
    if rows and (last or started >= self._curves_due):
      from experiments.figures.curves import draw_curves  # Matplotlib would delay the start.

      draw_curves(self._folder.curves, rows, self.title)
      self._curves_due = started + (time.perf_counter() - started) / _CURVES_SHARE

  def save(self, step: int, members: Members, pending: list[list[dict]]) -> None:
    """Saves a checkpoint of the run: of its last finite step where it diverged."""
    del step
    self._folder.save_state(_take(members.state, 0), pending[0])

  def stop(self, step: int) -> None:
    """Records that the run was stopped."""
    files.write_json(self._folder.summary, {"status": "stopped", "steps": step})

  def finish(self, engine: Engine, members: Members, pending: list[list[dict]]) -> None:
    """Draws what belongs to the end, and records it.

    Raises:
      Stopped: the run diverged.
    """
    del pending
    (step,), (alive,) = members.state.step.tolist(), members.alive.tolist()
    self.draw(engine, members, last=True)
    self._folder.write_summary(step, alive=alive)
    if not alive:
      raise Stopped(
        f"diverged: a loss or a parameter turned non-finite at step {step + 1}; replay it with"
        f" --seed={self._seed} --steps={step + 1} and the same other flags; the last good"
        f" checkpoint is step {step}",
        3,
      )


class GroupPlace:
  """Keeps the members of an open sweep's group, then hands each its run folder."""

  def __init__(self, folder: SweepFolder, group: Group):
    run, n = group.runs[0], len(group.runs)
    self.path, self.folders = folder.path, [folder.member(run) for run in group.runs]
    self.title = f"{run.method}, {run.architecture}, {group.batching}"
    self.details = {"program": run.program_name(), "batching": group.batching, "members": n}
    self.timing, self.events = folder.timing, None
    self._sweep, self._group = folder, group

  def restore(self, engine: Engine) -> Checkpoint:
    """Returns the step, the members and their pending rows: of the group, else of its members.

    Raises:
      UserError: there are checkpoints of the group and none verifies, or a member's does not.
    """
    start = engine.fetch(engine.init())
    checkpoint = checkpoints.restore_newest(self._sweep.group_checkpoints, start)
    if checkpoint is None and self._group.start == 0:
      checkpoint = Checkpoint(0, start, [[] for _ in self.folders])
    if checkpoint is None:
      checkpoint = self._restore_members(start)
    checkpoints.clear_after(self._sweep.group_checkpoints, checkpoint.step)
    return checkpoint._replace(logged=checkpoint.logged or [None] * len(self.folders))

  def _restore_members(self, start: Members) -> Checkpoint:
    like, kept = _one_like(start.state), []
    for folder in self.folders:
      try:
        kept.append(checkpoints.restore(folder.checkpoints, self._group.start, like))
      except UserError as error:
        self._sweep.remove_group()  # It has nothing yet that its members have not.
        raise UserError(
          f"{error}; remove {folder.path} to train this member from the start"
        ) from error
    return _join(kept, start)

  def begin(self, logged: int) -> None:
    """Does nothing: the folders of members are ready since the sweep was opened."""

  def draw(self, engine: Engine, members: Members) -> None:
    """Draws each member's samples."""
    with _warning_instead():
      engine.draw(members, self.folders)

  def save(self, step: int, members: Members, pending: list[list[dict]]) -> None:
    """Saves a checkpoint of the group."""
    steps = members.state.step.tolist()
    logged = [
      folder.logged(own_step - len(rows))
      for folder, own_step, rows in zip(self.folders, steps, pending, strict=True)
    ]
    checkpoints.save(self._sweep.group_checkpoints, Checkpoint(step, members, pending, logged))

  def stop(self, step: int) -> None:
    """Leaves the members unfinished: the group goes on at the next start."""

  def finish(self, engine: Engine, members: Members, pending: list[list[dict]]) -> None:
    """Gives each member what a run alone leaves; may be done again after a kill."""
    self.draw(engine, members)
    fetched = engine.fetch(members)
    for i, folder in enumerate(self.folders):
      state = _take(fetched.state, i)
      folder.save_state(state, pending[i])
      folder.write_summary(int(state.step), alive=bool(fetched.alive[i]))
    self._sweep.remove_group()


Place = RunPlace | GroupPlace
"""Both have `path`, the `title` and the `folders` of the members, `timing`, a file whose lines all
hold `details`, and TensorBoard's `events` or None."""


@contextlib.contextmanager
def _warning_instead():
  """A picture that cannot be drawn costs a picture, and no training."""
  try:
    yield
  except Exception as error:
    print(f"warning: a picture was not drawn: {error}", file=sys.stderr)


def _one_like(states: chex.ArrayTree) -> chex.ArrayTree:
  """Shapes and types of one member's state, of those of all members, [members, ...]."""
  return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), states)


@jax.jit
def _take(states: chex.ArrayTree, i: int) -> chex.ArrayTree:
  """Takes one member's state of those of all members; one program for all leaves."""
  return jax.tree.map(lambda leaf: leaf[i], states)


def _join(kept: list[Checkpoint], start: Members) -> Checkpoint:
  """Joins checkpoints of one step, of a member each, to one of all members."""
  states = _stack([each.state for each in kept])
  logged = [each.logged[0] if each.logged else None for each in kept]
  pending = [each.pending for each in kept]
  return Checkpoint(kept[0].step, Members(states, start.alive), pending, logged)


@jax.jit
def _stack(states: list[chex.ArrayTree]) -> chex.ArrayTree:
  """Stacks states of one member each, [members, ...]."""
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)

"""What a run shows while it goes on: a bar in a terminal, plain lines elsewhere, TensorBoard."""

import contextlib
import importlib.util
import pathlib
import sys
from collections.abc import Iterator

import numpy as np
import tqdm

from experiments.host.errors import UserError
from experiments.measures.table import short_names


class Display:
  """Shows steps and metrics on standard error."""

  def __init__(self, first_step: int, last_step: int):
    self._last_step = last_step
    self._bar = tqdm.tqdm(
      initial=first_step,
      total=last_step,
      unit="step",
      file=sys.stderr,
      dynamic_ncols=True,
      disable=not sys.stderr.isatty(),
    )

  def advance(self, n_steps: int) -> None:
    """Moves the bar."""
    self._bar.update(n_steps)

  def metrics(self, row: dict, steps_per_second: float) -> None:
    """One line."""
    figures = "  ".join(
      f"{short} {row[name]:.4g}" for name, short in short_names().items() if name in row
    )
    line = f"step {row['step']}/{self._last_step}  {figures}  {steps_per_second:.2f} steps/s"
    self._bar.write(line, file=sys.stderr)

  def close(self) -> None:
    """Leaves the bar as it stands."""
    self._bar.close()


class SweepDisplay:
  """Shows the progress of all members on standard error: a bar in a terminal, lines everywhere."""

  def __init__(self, n_members: int, steps: int, done: int, n_diverged: int):
    self._steps, self._n_diverged = steps, n_diverged
    self._rate = None
    self._bar = tqdm.tqdm(
      initial=done,
      total=n_members * steps,
      unit="step",
      file=sys.stderr,
      dynamic_ncols=True,
      disable=not sys.stderr.isatty(),
    )
    self._left = n_members * steps - done

  def begin(self, group, step: int, *, n_new: int, n_dead: int) -> None:
    """A group begins, or goes on, at a step; `n_new` steps of each member were not counted yet."""
    self._group = group
    self._n_diverged += n_dead
    self._move(n_new * len(group.runs))
    run = group.runs[0]
    self._write(
      f"{run.loss}, {run.penalty}, {run.architecture}: {len(group.runs)} members,"
      f" {group.way}, from step {step} of {self._steps}"
    )

  def diverged(self, name: str, step: int) -> None:
    """A member diverged."""
    self._n_diverged += 1
    self._write(f"{name} diverged: a loss or a parameter turned non-finite at step {step}")

  def advance(self, step: int, n_steps: int, alive: list, seconds: float, *, line: bool) -> None:
    """The group did `n_steps` more."""
    member_steps = n_steps * len(alive)
    self._move(member_steps)
    rate = member_steps / seconds
    # Of the last chunks, so that what is left is told by how it goes now.
    self._rate = rate if self._rate is None else 0.7 * self._rate + 0.3 * rate
    if line:
      left = tqdm.tqdm.format_interval(self._left / self._rate)
      self._write(
        f"step {step}/{self._steps}  {sum(alive)} of {len(alive)} alive,"
        f" {self._n_diverged} diverged in all  {rate:.3g} member steps/s  {left} left"
      )

  def end(self, n_steps: int) -> None:
    """The group ends, `n_steps` before its time where all of it diverged."""
    self._move(n_steps * len(self._group.runs))

  def close(self) -> None:
    """Leaves the bar as it stands."""
    self._bar.close()

  def _move(self, n):
    self._left -= n
    self._bar.update(n)

  def _write(self, line):
    self._bar.write(line, file=sys.stderr)


def check_tensorboard(wanted: bool) -> None:
  """Refuses --tensorboard where events cannot be written.

  Raises:
    UserError: tensorboardX is not installed.
  """
  if wanted and importlib.util.find_spec("tensorboardX") is None:
    raise UserError(
      "--tensorboard needs tensorboardX: install the extra, pip install -e '.[tensorboard]'"
    )


@contextlib.contextmanager
def event_writer(directory: pathlib.Path, wanted: bool, first_step: int) -> Iterator:
  """A TensorBoard writer, or None; events past `first_step` of an earlier start are purged."""
  if not wanted:
    yield None
    return
  from tensorboardX import SummaryWriter  # An extra, and slow to import.

  with SummaryWriter(str(directory), purge_step=first_step + 1) as writer:
    yield writer


def write_events(writer, row: dict) -> None:
  """Writes a line of metrics as scalars."""
  if writer is not None:
    for name, value in row.items():
      if name != "step":
        writer.add_scalar(name, value, row["step"])


def write_image(writer, path: pathlib.Path, step: int) -> None:
  """Writes a picture of samples."""
  if writer is not None:
    from PIL import Image

    with Image.open(path) as picture:
      writer.add_image("samples", np.asarray(picture.convert("RGB")), step, dataformats="HWC")

"""What a run shows while it goes on: a bar in a terminal, plain lines elsewhere, TensorBoard."""

import contextlib
import pathlib
import sys
from collections.abc import Iterator

import numpy as np
import tqdm

_SHORT = {
  "wasserstein_estimate": "W",
  "held_out_wasserstein_estimate": "held-out W",
  "jensen_shannon_estimate": "JS",
  "held_out_jensen_shannon_estimate": "held-out JS",
  "gradient_penalty": "penalty",
  "critic_loss": "critic loss",
  "generator_loss": "generator loss",
  "gradient_norm_mean": "|grad| mean",
  "gradient_norm_max": "max",
}


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
    figures = "  ".join(f"{_SHORT[name]} {row[name]:.4g}" for name in _SHORT if name in row)
    line = f"step {row['step']}/{self._last_step}  {figures}  {steps_per_second:.2f} steps/s"
    self._bar.write(line, file=sys.stderr)

  def close(self) -> None:
    """Leaves the bar as it stands."""
    self._bar.close()


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


def write_image(writer, images: np.ndarray, step: int) -> None:
  """Writes samples, uint8 [n, height, width, channels], as one picture."""
  if writer is not None:
    writer.add_images("samples", images, step, dataformats="NHWC")

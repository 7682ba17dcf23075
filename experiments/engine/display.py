"""What a run shows while it goes on: a bar in a terminal, and plain lines elsewhere."""

import sys

import tqdm

from experiments.measures.table import short_names


class Display:
  """Shows progress on standard error: a bar in a terminal, and lines everywhere.

  Args:
    n_members: number of runs in all, trained one group after another.
    total: steps of all members together.
    done: those of them that are done already.
    n_diverged: number of members that diverged before.
  """

  def __init__(self, n_members: int, total: int, done: int = 0, n_diverged: int = 0):
    self._n_members, self._n_diverged = n_members, n_diverged
    self._rate = None  # Member steps a second, of the last chunks.
    # On standard error, and only if that is a terminal.
    self._bar = tqdm.tqdm(initial=done, total=total, unit="step", dynamic_ncols=True, disable=None)
    self.close = self._bar.close  # Leaves the bar as it stands.
    self._left = total - done

  def begin(self, title: str, step: int, steps: int, alive: list[bool]) -> None:
    """Shows that members begin, or go on, at a step of so many."""
    self._steps, self._alive = steps, alive
    self._n_diverged += alive.count(False)
    if self._n_members == 1:
      begun = "resumed at" if step else "starting at"
      print(f"{begun} step {step} of {self._steps}", flush=True)
    else:
      self._write(f"{title}: {len(alive)} members, from step {step} of {self._steps}")

  def advance(self, n_steps: int, seconds: float, alive: list[bool]) -> None:
    """Moves the bar by `n_steps` of each member."""
    self._alive = alive
    self._move(n_steps * len(alive))
    rate = n_steps * len(alive) / seconds
    self._rate = rate if self._rate is None else 0.7 * self._rate + 0.3 * rate

  def diverged(self, name: str, step: int) -> None:
    """Shows that a member diverged."""
    self._n_diverged += 1
    self._write(f"{name} diverged: a loss or a parameter turned non-finite at step {step}")

  def show_lines(self, step: int, lines: list[dict | None]) -> None:
    """Shows a line of metrics: the figures of a run alone, or how many of many go on."""
    if self._n_members == 1:
      (line,) = lines
      shown = [(short, line[name]) for name, short in short_names().items() if name in line]
      words = "  ".join(f"{short} {value:.4g}" for short, value in shown)
    else:
      left = tqdm.tqdm.format_interval(self._left / self._rate)
      words = f"{sum(self._alive)} of {len(self._alive)} alive, {self._n_diverged} diverged in all"
      words += f"  {left} left"
    self._write(f"step {step}/{self._steps}  {words}  {self._rate:.3g} steps/s")

  def end(self, n_steps: int) -> None:
    """Moves the bar by the steps that members do not need to do, as all of them diverged."""
    self._move(n_steps * len(self._alive))

  def _move(self, n):
    self._left -= n
    self._bar.update(n)

  def _write(self, line):
    self._bar.write(line, file=sys.stderr)

"""The host loop: compiled chunks of steps, and between them logging, drawing and saving.

Members are trained side by side, each with a run folder. A run alone is one member. An engine
(`experiments.engine.engine`) trains them. A place (`experiments.engine.places`) keeps them between
two starts and ends their folders.
"""

import dataclasses
import time

import jax
import numpy as np
from absl import flags

from experiments.engine.display import Display
from experiments.engine.engine import Engine
from experiments.engine.places import Place
from experiments.host import files
from experiments.host.errors import Stopped, UserError
from experiments.host.signals import Stop
from experiments.measures.training import rows_of
from experiments.spec.flags import MAX_STEPS

# A chunk also ends here, however rarely one logs: a signal and a divergence wait for its end.
_LONGEST_CHUNK = 1000
_LONGEST_SECONDS = 5.0
_FIRST_CHUNK = 20  # Steps of the first, before their time is known.


@dataclasses.dataclass(frozen=True)
class Intervals:
  """Steps between lines of metrics, pictures, checkpoints, and lines with the slow measures."""

  log: int
  sample: int
  checkpoint: int
  slow: int = 0  # 0 for never.

  @classmethod
  def of_flags(cls, flag_values: flags.FlagValues) -> "Intervals":
    """Reads them from the flags of a run; without --sample_every only the end is drawn."""
    sample = flag_values.sample_every or MAX_STEPS
    return cls(flag_values.log_every, sample, flag_values.checkpoint_every, flag_values.slow_every)

  def capacity(self) -> int:
    """Returns the most steps of one chunk."""
    return min(*self._ends)

  def next(self, step: int, last: int, most: int = _LONGEST_CHUNK) -> int:
    """Returns where the chunk from `step` ends.

    At a multiple of an interval, at the last step, or after `most` steps.
    """
    return min(*((step // n + 1) * n for n in self._ends), last, step + most)

  @property
  def _ends(self):
    return self.log, self.sample, self.checkpoint, _LONGEST_CHUNK


def train(
  engine: Engine, place: Place, *, steps: int, intervals: Intervals, display: Display, stop: Stop
) -> None:
  """Trains members from where their place has them to `steps`.

  A member that diverges stays at its last finite step; the others do not notice.

  Args:
    engine: trains, measures and draws.
    place: keeps the members, and has a run folder for each.
    steps: the last step.
    intervals: when lines, pictures and checkpoints are written.
    display: shows progress.
    stop: holds the signal that asks to stop, if any.

  Raises:
    Stopped: a signal asked to stop, and all is saved; or the place ends a run that diverged so.
    UserError: no checkpoint of the place verifies, one cannot be saved, the members are beyond
      `steps`, or their lines are damaged.
  """
  step, members, pending, logged = place.restore(engine)
  if step > steps:
    raise UserError(f"{place.path} is at step {step} already: --steps={steps} asks for less")
  alive, own_steps = members.alive.tolist(), members.state.step.tolist()
  for folder, own_step, rows, lines in zip(place.folders, own_steps, pending, logged, strict=True):
    folder.rewind(own_step, len(rows), lines)
  place.begin(step - max(map(len, pending)))
  members = engine.lay_out(members)
  measuring = 0.0

  def log():
    nonlocal measuring
    started = time.perf_counter()
    slow = intervals.slow > 0 and step % intervals.slow == 0
    lines = engine.lines(members, pending, alive, slow=slow)
    measuring = time.perf_counter() - started
    for folder, line in zip(place.folders, lines, strict=True):
      if line is not None:
        folder.log({"step": step} | line)
        if place.events is not None:
          for name, value in line.items():
            place.events.add_scalar(name, value, step)
    return lines

  display.begin(place.title, step, steps, alive)
  if step == steps and any(rows for rows, lives in zip(pending, alive, strict=True) if lives):
    log()  # Killed after the last checkpoint: the rewind undid the line of part of an interval.
  most = _FIRST_CHUNK
  drawn = all(folder.sample(step).exists() for folder in place.folders)
  if 0 < step < steps and step % intervals.sample == 0 and not drawn:
    place.draw(engine, members)  # Killed between a checkpoint and its picture.
  while step < steps and any(alive):
    started, first, measuring = time.perf_counter(), step, 0.0
    step = intervals.next(step, steps, most)
    members, info = engine.chunk(members, step - first)
    seconds = time.perf_counter() - started
    most = max(1, int(_LONGEST_SECONDS * (step - first) / seconds))
    for i in np.flatnonzero(alive):
      n_finite = int(info.finite[i].sum())
      pending[i] += rows_of(jax.tree.map(lambda rows, i=i, n=n_finite: rows[i, :n], info))
      if n_finite < step - first:
        alive[i] = False
        display.diverged(place.folders[i].path.name, first + n_finite + 1)
    display.advance(step - first, seconds, alive)
    last = step == steps or not any(alive)
    if any(alive) and (step % intervals.log == 0 or last):
      display.show_lines(step, log())
    if step % intervals.log == 0:
      # A line at the last step may be of a part of its interval: a longer run makes it whole.
      pending = [[] if lives else rows for lives, rows in zip(alive, pending, strict=True)]
    stopping = stop.signal if not last else 0
    if step % intervals.checkpoint == 0 or last or stopping:
      place.save(step, engine.fetch(members), pending)
    if step % intervals.sample == 0 and not last:
      place.draw(engine, members)
    timing = {"step": step, "steps": step - first, "time": time.time(), "chunk_seconds": seconds}
    timing["steps_per_second"] = (step - first) / seconds
    timing["host_seconds"] = time.perf_counter() - started - seconds
    timing["measure_seconds"] = measuring  # Included in host_seconds.
    files.append_line(place.timing, place.details | timing)
    if stopping:
      place.stop(step)
      message = f"stopped at step {step}, saved; the same command goes on from there"
      raise Stopped(message, 128 + stopping)
  display.end(steps - step)
  place.finish(engine, members, pending)

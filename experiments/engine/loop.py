"""The host loop: compiled chunks of steps, and between them logging, drawing and saving."""

import contextlib
import dataclasses
import sys
import time

import numpy as np

from experiments.engine import display
from experiments.engine.folder import RunFolder
from experiments.engine.program import Program
from experiments.host import checkpoints, files
from experiments.host.checkpoints import Checkpoint
from experiments.host.errors import Stopped
from experiments.host.signals import stop_signals
from experiments.measures.classes import load_classifier_measures
from experiments.measures.lines import summarise
from experiments.measures.training import rows_of
from experiments.spec.datasets import Dataset
from experiments.spec.settings import Settings

# A chunk also ends here, however rarely one logs: a signal and a divergence wait for its end.
_LONGEST_CHUNK = 1000
# Curves take up to a second to draw; while training goes on they may take this share of the time.
_CURVES_SHARE = 0.01


@dataclasses.dataclass(frozen=True)
class Intervals:
  """Steps between lines of metrics, pictures, checkpoints, and lines with the slow measures."""

  log: int
  sample: int
  checkpoint: int
  exact: int = 0  # 0 for never.

  def capacity(self) -> int:
    """The most steps of one chunk."""
    return min(*self._ends)

  def next(self, step: int, last: int) -> int:
    """Where the chunk from `step` ends: an absolute multiple of an interval, or the last step."""
    return min(*((step // n + 1) * n for n in self._ends), last)

  def is_exact(self, step: int) -> bool:
    """Whether the line at a step holds the slow measures."""
    return self.exact > 0 and step % self.exact == 0

  @property
  def _ends(self):
    return self.log, self.sample, self.checkpoint, _LONGEST_CHUNK


def train(
  folder: RunFolder,
  settings: Settings,
  dataset: Dataset,
  *,
  steps: int,
  intervals: Intervals,
  tensorboard: bool = False,
) -> None:
  """Trains from the newest checkpoint in the folder, or from the start, to `steps`.

  Raises:
    Stopped: a loss or a parameter turned non-finite, or a signal asked to stop.
    UserError: no checkpoint in the folder verifies, or one cannot be saved.
  """
  classifier = load_classifier_measures(dataset) if intervals.exact else None
  program = Program(settings, dataset, intervals.capacity(), classifier)
  state = program.init()
  start = Checkpoint(0, state, [])
  step, state, pending = checkpoints.restore_newest(folder.checkpoints, state) or start
  if step > steps:
    print(f"{folder.path} is at step {step} already: --steps={steps} asks for nothing more")
    return
  print(f"{'resumed at' if step else 'starting at'} step {step} of {steps}", flush=True)
  rewind(folder, step, len(pending))
  folder.summary.unlink(missing_ok=True)
  folder.samples.mkdir(exist_ok=True)
  title = f"{settings.dataset}, {settings.loss}, {settings.penalty}, seed {settings.seed}"

  measuring = 0.0

  def log():
    nonlocal measuring
    started = time.perf_counter()
    measured = program.measure(state, exact=intervals.is_exact(step))
    measuring = time.perf_counter() - started
    row = {"step": step, **summarise(pending, settings.config())} | measured
    files.append_line(folder.metrics, row)
    display.write_events(events, row)
    return row

  curves_due = 0.0

  def draw():
    # Here: they load matplotlib, which delays the start.
    from experiments.figures import curves, samples

    nonlocal curves_due
    samples.draw_samples(folder.sample(step), program.draw(state), dataset, f"{title}, step {step}")
    display.write_image(events, folder.sample(step), step)
    started = time.perf_counter()
    rows = files.read_lines(folder.metrics)  # None before the first line.
    if rows and (step == steps or started >= curves_due):
      curves.draw_curves(folder.curves, rows, title)
      curves_due = started + (time.perf_counter() - started) / _CURVES_SHARE

  with (
    contextlib.closing(display.Display(step, steps)) as shown,
    display.event_writer(folder.tensorboard, tensorboard, step - len(pending)) as events,
    stop_signals() as stop,
  ):
    if step == steps:  # Stopped after its last checkpoint, perhaps before what belongs to the end.
      if pending:
        log()
      draw()
    while step < steps:
      started, first, measuring = time.perf_counter(), step, 0.0
      step = intervals.next(step, steps)
      state, info = program.chunk(state, step - first)
      seconds = time.perf_counter() - started
      pending += rows_of(info)
      shown.advance(step - first)
      if not info.finite.all():
        _give_up(folder, settings, first + 1 + int(np.argmin(info.finite)))
      if step % intervals.log == 0 or step == steps:
        shown.metrics(log(), (step - first) / seconds)
      if step % intervals.sample == 0 or step == steps:
        draw()
      if step % intervals.log == 0:
        # A line at the last step may be of a part of its interval: a longer run makes it whole.
        pending = []
      stopping = stop.signal if step < steps else 0
      if step % intervals.checkpoint == 0 or step == steps or stopping:
        checkpoints.save(folder.checkpoints, Checkpoint(step, state, pending))
      timing = {
        "step": step,
        "time": time.time(),
        "chunk_seconds": seconds,
        "steps_per_second": (step - first) / seconds,
        "host_seconds": time.perf_counter() - started - seconds,
        "measure_seconds": measuring,  # Of the former.
      }
      files.append_line(folder.timing, timing)
      if stopping:
        files.write_json(folder.summary, {"status": "stopped", "steps": step})
        message = f"stopped at step {step}, saved; the same command goes on from there"
        raise Stopped(message, 128 + stopping)
  last = files.read_lines(folder.metrics)[-1:]
  files.write_json(
    folder.summary, {"status": "finished", "steps": step, "last": last[0] if last else None}
  )
  print(f"done: {folder.path} (samples/{folder.sample(step).name}, curves.png, metrics.jsonl)")


def rewind(folder: RunFolder, step: int, n_pending: int) -> None:
  """Makes a run's folder what it was when the checkpoint of `step` was saved.

  Args:
    folder: the run's folder.
    step: that of the checkpoint, 0 for the start.
    n_pending: how many of its steps wait for their line of metrics.
  """
  checkpoints.clear_after(folder.checkpoints, step)
  # Lines past the checkpoint, and one at it of steps that are pending still: they come again.
  files.keep_lines(folder.metrics, lambda row: row["step"] + n_pending <= step)
  files.keep_lines(folder.timing, lambda row: row["step"] <= step)
  logged = [row["step"] for row in files.read_lines(folder.metrics)[-1:]]
  if step > n_pending and logged != [step - n_pending]:
    print(
      f"warning: {folder.metrics} lacks lines up to step {step - n_pending}: they are lost",
      file=sys.stderr,
    )


def _give_up(folder: RunFolder, settings: Settings, bad: int) -> None:
  kept = checkpoints.steps(folder.checkpoints)
  files.write_json(folder.summary, {"status": "diverged", "first_bad_step": bad})
  last = f"the last good checkpoint is step {kept[-1]}" if kept else "there is no checkpoint yet"
  raise Stopped(
    f"diverged: a loss or a parameter turned non-finite at step {bad}; replay it with"
    f" --seed={settings.seed} --steps={bad} and the same other flags; {last}",
    3,
  )

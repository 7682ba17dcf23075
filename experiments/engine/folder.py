"""The run folder: what it holds, how it is rewound, and when the same command may go on in it.

config.json      settings, flags and environment: all that is needed to repeat the run
metrics.jsonl    one line an interval, without any wall-clock figure
timing.jsonl     the wall-clock figures
samples/         pictures from fixed latents, step_001000.png
curves.png       the metrics drawn
checkpoints/     the last three, each with a digest
summary.json     how the run ended
tensorboard/     events, with --tensorboard
"""

import collections
import dataclasses
import hashlib
import pathlib
import sys
import time

import jax

from experiments.engine.opening import check_outside, is_unused, read_recorded
from experiments.engine.records import MetricsLine, Summary, TimingLine
from experiments.host import checkpoints, files
from experiments.host.checkpoints import Checkpoint, Logged
from experiments.host.errors import UserError
from experiments.host.files import read_json, write_json
from experiments.spec.flags import MAX_STEPS
from experiments.spec.settings import Settings
from wgan_jax.training import make_training
from wgan_jax.types import State


class RunFolder:
  """The paths of a run, and what is recorded there."""

  def __init__(self, path: pathlib.Path):
    self.path, self.config, self.summary = path, path / "config.json", path / "summary.json"
    self.metrics, self.timing = path / "metrics.jsonl", path / "timing.jsonl"
    self.samples, self.curves = path / "samples", path / "curves.png"
    self.checkpoints, self.tensorboard = path / "checkpoints", path / "tensorboard"
    self._count([])

  def sample(self, step: int) -> pathlib.Path:
    """Returns the path of the picture of a step."""
    return self.samples / f"step_{step:06d}.png"

  def restore(self, step: int | None = None) -> tuple[Settings, State]:
    """Returns the settings and the state of a checkpoint; the newest, if none is named.

    Raises:
      UserError: there is no run, no such checkpoint, or none that verifies.
    """
    (settings,) = read_recorded(self.config, "run")
    # Only the shapes: no data are needed for it.
    training = make_training(settings.config(), settings.networks(), sample_real=None)
    like = jax.eval_shape(training.init, jax.random.key(0), settings.hparams())
    if step is None:
      checkpoint = checkpoints.restore_newest(self.checkpoints, like)
      if checkpoint is None:
        raise UserError(f"{self.checkpoints} holds no checkpoint: train the run first")
      return settings, checkpoint.state
    kept = checkpoints.steps(self.checkpoints)
    if step not in kept:
      there = f"there are {', '.join(map(str, kept))}" if kept else "there is none"
      raise UserError(f"--step={step} has no checkpoint; {there}")
    return settings, checkpoints.restore(self.checkpoints, step, like).state

  def lines(self) -> list[dict]:
    """Reads the lines of metrics.

    Raises:
      UserError: they are damaged.
    """
    rows = files.read_lines(self.metrics, MetricsLine)
    return files.check(rows, list[dict[str, float]], self.metrics, "restore or remove it")

  def log(self, row: dict) -> None:
    """Appends a line of metrics."""
    files.append_line(self.metrics, row)
    self._add(row)

  def logged(self, last: int) -> Logged:
    """Returns what was written up to the step `last`: that of one of the last two lines, or later.

    It is not read again: a bit may have flipped on the disk.
    """
    return next(logged for step, logged in reversed(self._written) if step <= last)

  def _count(self, rows):
    self._sha = hashlib.sha256()
    self._written = collections.deque([(0, {"n": 0, "sha256": self._sha.hexdigest()})], maxlen=2)
    for row in rows:
      self._add(row)

  def _add(self, row):
    self._sha.update(files.encode_lines([row]))
    n = self._written[-1][1]["n"] + 1
    self._written.append((row["step"], {"n": n, "sha256": self._sha.hexdigest()}))

  def _digest(self, n):
    """SHA-256 of the first n lines as they stand: other digits may mean the same number."""
    content = files.read_bytes(self.metrics) if n else b""
    return hashlib.sha256(b"".join(content.splitlines(keepends=True)[:n])).hexdigest()

  def check_lines(self, logged: Logged | None, *, warn: bool = True) -> list[dict]:
    """Reads the lines that had been written, without later ones; fewer if some are lost.

    Args:
      logged: how many there were, and their digest; None if it is not known: then all are read.
      warn: whether to say that some are lost.

    Raises:
      UserError: they are damaged.
    """
    rows = self.lines()
    if logged is None:
      return rows
    rows = rows[: logged["n"]]
    if len(rows) == logged["n"] and self._digest(len(rows)) != logged["sha256"]:
      raise UserError(
        f"{self.metrics}: damaged, its first {logged['n']} lines are not those that were written:"
        " restore it, or remove it to go on without them"
      )
    if warn and len(rows) < logged["n"]:
      print(
        f"warning: {self.metrics} lacks lines, {logged['n']} were written: they are lost",
        file=sys.stderr,
      )
    return rows

  def check_saved_lines(self) -> None:
    """Checks the lines that the newest checkpoint knows; raises UserError for damaged ones."""
    for logged in checkpoints.logged(self.checkpoints):
      try:
        self.check_lines(logged, warn=False)
      except UserError as error:
        raise UserError(f"{error}; or the newest of {self.checkpoints} is damaged") from error

  def rewind(self, step: int, n_pending: int, logged: Logged | None) -> None:
    """Makes the folder what it was when the checkpoint of `step` was saved.

    Args:
      step: that of the checkpoint, 0 for the start.
      n_pending: how many of its steps wait for their line of metrics.
      logged: the lines that were there; None if they are not known.

    Raises:
      UserError: the lines of metrics are others than they were then; nothing is changed.
    """
    # Lines past the checkpoint, and one at it of steps that are pending still: they come again.
    last = step - n_pending
    rows = [row for row in self.check_lines(logged) if row["step"] <= last]
    times = files.read_lines(self.timing, TimingLine)
    checkpoints.clear_after(self.checkpoints, step)
    self._set_aside(step)
    files.write_lines(self.metrics, rows)
    files.write_lines(self.timing, [row for row in times if row.get("step", 0) <= step])
    self._count(rows)

  def _set_aside(self, step: int) -> None:
    """Keeps the record of a run whose checkpoints are gone: a start from 0 would empty it."""
    lines = self.lines() if step == 0 and self.summary.exists() else []
    if lines:
      aside = self.path / f"metrics-{time.time_ns()}.jsonl"
      files.write_lines(aside, lines)
      print(
        f"warning: {self.path} has ended once, but has no checkpoint: it starts from step 0;"
        f" its lines are kept as {aside.name}",
        file=sys.stderr,
      )

  def save_state(self, state: State, pending: list[dict]) -> None:
    """Saves a checkpoint of a state and its pending rows, if there is none of its step yet.

    Raises:
      UserError: it cannot be saved.
    """
    step = int(state.step)
    checkpoints.clear_after(self.checkpoints, step)
    if step and step not in checkpoints.steps(self.checkpoints):
      logged = [self.logged(step - len(pending))]
      checkpoints.save(self.checkpoints, Checkpoint(step, state, pending, logged))

  def write_summary(self, step: int, *, alive: bool) -> None:
    """Writes how the run ended: finished at a step, or diverged in the one after it."""
    if alive:
      last = self.lines()[-1:]
      summary = {"status": "finished", "steps": step, "last": last[0] if last else None}
    else:
      summary = {"status": "diverged", "first_bad_step": step + 1}
    write_json(self.summary, summary | {"logged": self.logged(MAX_STEPS)})

  def reached(self) -> tuple[int, bool]:
    """Returns the step at which the run ended, 0 if it did not, and whether it diverged there."""
    if not self.summary.exists():
      return 0, False
    summary = read_json(self.summary, Summary)
    if summary["status"] == "diverged":
      return summary["first_bad_step"] - 1, True
    return summary["steps"], False

  def final_lines(self) -> list[dict]:
    """Reads the lines of a run that has ended; warns of lost ones.

    Raises:
      UserError: they, or the summary, are damaged.
    """
    summary = read_json(self.summary, Summary)
    try:
      rows = self.check_lines(summary["logged"])
    except UserError as error:
      raise UserError(f"{error}; or {self.summary} is damaged") from error
    whole = rows and len(rows) == summary["logged"]["n"] and "last" in summary
    if whole and files.dumps(summary["last"]) != files.dumps(rows[-1]):
      raise UserError(f"{self.summary}: damaged, its last line is not that of {self.metrics.name}")
    return rows


def check_folder(path: pathlib.Path, settings: Settings) -> None:
  """Refuses a folder in which a run with these settings may not begin or go on; writes nothing.

  Raises:
    UserError: it is a file, holds other files, or another run.
  """
  check_outside(path, settings)
  if is_unused(path, "run"):
    return
  (recorded,) = read_recorded(path / "config.json", "run")
  there, here = dataclasses.asdict(recorded), dataclasses.asdict(settings)
  differ = [
    f"--{name} ({there[name]} there, {here[name]} here)"
    for name in here
    if there[name] != here[name]
  ]
  if differ:
    raise UserError(
      f"--workdir={path} holds another run, whose config.json differs in {', '.join(differ)}: agree"
      " with it or name another folder"
    )

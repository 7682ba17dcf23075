"""The host loop of a sweep: groups of members, trained side by side, then run folders like any."""

import contextlib
import itertools
import time

import jax
import jax.numpy as jnp

from experiments.engine.batching import Batching
from experiments.engine.display import SweepDisplay
from experiments.engine.loop import Intervals, rewind
from experiments.engine.program import MembersProgram
from experiments.engine.sweep_folder import Group, SweepFolder, reached
from experiments.figures.samples import draw_samples
from experiments.host import checkpoints, files
from experiments.host.checkpoints import Checkpoint
from experiments.host.errors import Stopped, UserError
from experiments.host.signals import stop_signals
from experiments.measures.classes import load_classifier_measures
from experiments.measures.lines import summarise
from experiments.measures.training import rows_of
from experiments.spec.datasets import Dataset
from experiments.spec.settings import Settings
from wgan_jax.sweep import Members


def next_group(
  folder: SweepFolder, runs: list[Settings], batching: dict[str, Batching], steps: int
) -> Group | None:
  """What to train next: what was begun, else the first members that have not reached `steps`.

  What was begun and has no checkpoint yet is dropped where it is not how members are to run now:
  it may be what memory did not suffice for.
  """
  begun = folder.read_group()
  if begun is not None:
    how = batching[begun.runs[0].program_name()]
    if checkpoints.steps(folder.checkpoints) or (
      begun.way == how.way and len(begun.runs) <= how.at_once
    ):
      return begun
  waiting = []
  for run in runs:
    step, diverged = reached(folder.member(run))
    if step < steps and not diverged:
      waiting.append((run.program_name(), step, run))
  # One program after another, in the order of the grid; members that are equally far.
  order = list(dict.fromkeys(each[:2] for each in waiting))
  waiting.sort(key=lambda each: order.index(each[:2]))
  for (program, step), members in itertools.groupby(waiting, key=lambda each: each[:2]):
    how = batching[program]
    return Group([run for *_, run in itertools.islice(members, how.at_once)], step, how.way)
  return None


def train_sweep(
  folder: SweepFolder,
  runs: list[Settings],
  dataset: Dataset,
  batching: dict[str, Batching],
  *,
  steps: int,
  intervals: Intervals,
) -> None:
  """Trains all members to `steps`, group after group, from where each of them is.

  Raises:
    Stopped: a signal asked to stop; what was being trained is saved.
    UserError: no checkpoint of a group verifies, or one cannot be saved.
  """
  files.keep_lines(folder.timing, lambda row: True)  # A torn last line goes.
  classifier = load_classifier_measures(dataset) if intervals.exact else None
  begun = folder.read_group()
  if begun is None:
    folder.remove_group()
  own = set() if begun is None else set(begun.runs)  # They are counted when the group goes on.
  so_far = [reached(folder.member(run)) for run in runs if run not in own]
  done = sum(steps if diverged else min(step, steps) for step, diverged in so_far)
  n_diverged = sum(diverged for _, diverged in so_far)
  with (
    contextlib.closing(SweepDisplay(len(runs), steps, done, n_diverged)) as shown,
    stop_signals() as stop,
  ):
    while (group := next_group(folder, runs, batching, steps)) is not None:
      if stop.signal:
        message = "stopped between two groups; the same command goes on with the next one"
        raise Stopped(message, 128 + stop.signal)
      _train_group(folder, group, dataset, classifier, steps, intervals, shown, stop)


def _train_group(folder, group, dataset, classifier, steps, intervals, shown, stop):
  begun = folder.read_group() == group
  if not begun:
    folder.write_group(group)
  way = "vmap" if group.way == "vmap" else "map"
  program = MembersProgram(group.runs, dataset, intervals.capacity(), way, classifier)
  name = group.runs[0].program_name()
  files.append_line(folder.timing, {"program": name, "compile_seconds": program.compile_seconds})
  folders = [folder.member(run) for run in group.runs]
  step, members, pending = _restore(folder, group, program.fetch(program.init()))
  if step > steps:
    raise UserError(f"{folder.path} is at step {step} already: --steps={steps} asks for less")
  alive, own_steps = members.alive.tolist(), members.state.step.tolist()
  for member, own_step, rows in zip(folders, own_steps, pending, strict=True):
    rewind(member, own_step, len(rows))
  members = program.lay_out(members)

  def log():
    measured = program.measure(members, exact=intervals.is_exact(step), alive=alive)
    for run, member, lives, rows, own in zip(
      group.runs, folders, alive, pending, measured, strict=True
    ):
      if lives:
        row = {"step": step, **summarise(rows, run.config())} | own
        files.append_line(member.metrics, row)

  shown.begin(group, step, n_new=step if begun else step - group.start, n_dead=alive.count(False))
  if step == steps and step % intervals.log:  # Killed after the last checkpoint.
    log()
  while step < steps and any(alive):
    started, first = time.perf_counter(), step
    step = intervals.next(step, steps)
    members, info = program.chunk(members, step - first)
    seconds = time.perf_counter() - started
    for i, member in enumerate(folders):
      if not alive[i]:
        continue
      n_good = int(info.finite[i].sum())
      pending[i] += rows_of(jax.tree.map(lambda rows, i=i, n=n_good: rows[i, :n], info))
      if n_good < step - first:
        alive[i] = False
        shown.diverged(member.path.name, first + n_good + 1)
    logged = step % intervals.log == 0 or step == steps
    if logged:
      log()
    if step % intervals.log == 0:
      pending = [[] if lives else rows for lives, rows in zip(alive, pending, strict=True)]
    if step % intervals.sample == 0 and step < steps:
      _draw(program, members, dataset, group, folders)
    stopping = stop.signal if step < steps else 0
    if step % intervals.checkpoint == 0 or step == steps or stopping or not any(alive):
      checkpoints.save(folder.checkpoints, Checkpoint(step, program.fetch(members), pending))
    shown.advance(step, step - first, alive, seconds, line=logged)
    timing = {
      "program": name,
      "way": group.way,
      "members": len(alive),
      "step": step,
      "time": time.time(),
      "chunk_seconds": seconds,
      "host_seconds": time.perf_counter() - started - seconds,
      "member_steps": len(alive) * (step - first),
    }
    files.append_line(folder.timing, timing)
    if stopping:
      message = f"stopped at step {step} of a group, saved; the same command goes on from there"
      raise Stopped(message, 128 + stopping)
  shown.end(steps - step)
  _hand_over(program, members, dataset, pending, group, folders)
  folder.remove_group()


def _restore(folder, group, start) -> Checkpoint:
  """Where the group is: at its own checkpoint, else where its members are."""
  checkpoint = checkpoints.restore_newest(folder.checkpoints, start)
  if checkpoint is None and group.start == 0:
    checkpoint = Checkpoint(0, start, [[] for _ in group.runs])
  if checkpoint is None:
    like = jax.tree.map(lambda leaf: leaf[0], start.state)
    kept = []
    for run in group.runs:
      try:
        kept.append(checkpoints.restore(folder.member(run).checkpoints, group.start, like))
      except UserError as error:
        folder.remove_group()  # It has nothing yet that its members have not.
        raise UserError(
          f"{error}; remove {folder.member(run).path} to train this member from the start"
        ) from error
    states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[each.state for each in kept])
    members = Members(states, start.alive)
    checkpoint = Checkpoint(group.start, members, [each.pending for each in kept])
  checkpoints.clear_after(folder.checkpoints, checkpoint.step)
  return checkpoint


def _draw(program, members, dataset, group, folders):
  steps = program.fetch(members).state.step.tolist()
  for run, member, drawing, step in zip(
    group.runs, folders, program.draw(members), steps, strict=True
  ):
    if step:
      title = f"{run.dataset}, {run.loss}, {run.penalty}, seed {run.seed}, step {step}"
      draw_samples(member.sample(step), drawing, dataset, title)


def _hand_over(program, members, dataset, pending, group, folders):
  """Gives each member what a run alone leaves; may be done again after a kill."""
  _draw(program, members, dataset, group, folders)
  fetched = program.fetch(members)
  for i, member in enumerate(folders):
    state = jax.tree.map(lambda leaf, i=i: leaf[i], fetched.state)
    step, lives = int(state.step), bool(fetched.alive[i])
    checkpoints.clear_after(member.checkpoints, step)
    if step and step not in checkpoints.steps(member.checkpoints):
      checkpoints.save(member.checkpoints, Checkpoint(step, state, pending[i]))
    last = files.read_lines(member.metrics)[-1:]
    summary = {"status": "finished", "steps": step, "last": last[0] if last else None}
    if not lives:
      summary = {"status": "diverged", "first_bad_step": step + 1}
    files.write_json(member.summary, summary)

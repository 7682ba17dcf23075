"""Trains the members of a sweep: group after group, each side by side in one program."""

import contextlib
import functools
import sys
from collections.abc import Callable

from experiments.engine.display import Display
from experiments.engine.engine import Engine
from experiments.engine.groups import Group, Steps, SweepFolder, last_step
from experiments.engine.loop import Intervals, train
from experiments.engine.places import GroupPlace
from experiments.engine.planning import (
  Layout,
  Loader,
  by_program,
  bytes_of,
  free_bytes,
  members_at_once,
)
from experiments.host import checkpoints, files
from experiments.host.errors import Stopped
from experiments.host.processes import Team
from experiments.host.signals import stop_signals
from experiments.measures.classes import load_classifier_measures
from experiments.spec.settings import Settings


def next_group(
  folder: SweepFolder, runs: list[Settings], most: Callable[[str], int], batching: str, steps: Steps
) -> Group | None:
  """Returns what to train next: what was begun, else the first members that lack steps.

  What was begun and has no checkpoint yet is dropped if it is not how members are to run now: it
  may be what memory did not suffice for.

  Args:
    most: (program's name) -> the most members of a group; called for what is to be trained only.
  """
  begun = folder.read_group()
  if begun is not None and checkpoints.steps(folder.group_checkpoints):
    return begun
  as_now = begun is not None and begun.batching == batching
  if as_now and len(begun.runs) <= most(begun.runs[0].program_name()):
    return begun
  waiting = {}  # By program and step, in the order of the grid.
  for run in runs:
    step, diverged = folder.member(run).reached()
    if step < last_step(steps, run) and not diverged:
      waiting.setdefault((run.program_name(), step), []).append(run)
  if not waiting:
    return None
  (program, step), members = next(iter(waiting.items()))
  return Group(members[: most(program)], step, batching)


def train_sweep(
  folder: SweepFolder,
  runs: list[Settings],
  load: Loader,
  *,
  layout: Layout,
  steps: Steps,
  intervals: Intervals,
) -> None:
  """Trains all members of an open sweep, group after group, from where each of them is.

  Args:
    load: loads the data of a member.
    layout: how they are trained.
    steps: what each member is to reach.
    intervals: when lines, pictures and checkpoints are written.

  Raises:
    Stopped: a signal asked to stop; what was being trained is saved.
    UserError: no checkpoint of a group verifies, or one cannot be saved; or memory is too small.
  """
  files.write_lines(folder.timing, folder.times())  # A torn last line goes.
  classifier = load_classifier_measures(load(runs[0])) if intervals.slow else None
  begun = folder.read_group()
  if begun is None:
    folder.remove_group()
    reached = {}
  else:  # Where the group is, its members are.
    kept = checkpoints.steps(folder.group_checkpoints)
    reached = dict.fromkeys(begun.runs, (kept[-1] if kept else begun.start, False))
  reached = [reached.get(run) or folder.member(run).reached() for run in runs]
  programs = by_program(runs)

  @functools.cache
  def most(program):
    members = programs[program]
    return layout.at_once or members_at_once(members, load(members[0]), layout)

  ends = [last_step(steps, run) for run in runs]
  done = sum(
    end if diverged else min(step, end) for (step, diverged), end in zip(reached, ends, strict=True)
  )
  display = Display(len(runs), sum(ends), done, sum(diverged for _, diverged in reached))
  team = layout.team or Team()
  with contextlib.closing(display), stop_signals(stop=team.stop) as stop:
    while (group := next_group(folder, runs, most, layout.batching, steps)) is not None:
      if stop.signal:
        message = "stopped between two groups; the same command goes on with the next one"
        raise Stopped(message, 128 + stop.signal)
      if group != folder.read_group():
        folder.write_group(group)
      dataset = load(group.runs[0])
      engine = Engine(
        group.runs,
        dataset,
        intervals.capacity(),
        group.batching,
        classifier,
        layout.data_parallel,
        team,
      )
      needed, free = bytes_of(engine, dataset), free_bytes(engine.program.n_devices)
      if needed > free:
        print(
          f"warning: {len(group.runs)} members at once need some {needed / 1e9:.2g} GB, of"
          f" {free / 1e9:.2g} GB that are free: lower --members_at_once, --batch_size or --width",
          file=sys.stderr,
        )
      place = GroupPlace(folder, group)
      compiled = {"compile_seconds": engine.program.compile_seconds}
      files.append_line(folder.timing, {"program": place.details["program"]} | compiled)
      end = last_step(steps, group.runs[0])
      train(engine, place, steps=end, intervals=intervals, display=display, stop=stop)

"""Trains every combination of values, with several seeds, many members in one compiled program.

python -m experiments.sweep --architecture=dcgan --penalty=clip,gp --lambda_gp=1,10 --seeds=3

Each flag of the method takes a list; values that mean nothing for a method, such as clip values for
a penalty, do not multiply it. Makes a folder with a run folder for each member, results.csv,
results.json and report.html. The same command goes on where the sweep stopped; more values, more
seeds or a larger --steps extend it.
"""

import pathlib

from absl import flags

from experiments.engine.following import follow
from experiments.engine.groups import (
  SweepFolder,
  check_sweep_folder,
  last_step,
  open_sweep,
)
from experiments.engine.loop import Intervals
from experiments.engine.opening import locked, recorded_dataset
from experiments.engine.planning import (
  Layout,
  budget_steps,
  choose_data_parallel,
  default_batching,
  print_plan,
)
from experiments.engine.sweep import train_sweep
from experiments.host import cli
from experiments.host.environment import describe_environment, use_all_cores, use_compilation_cache
from experiments.host.errors import Stopped, UserError
from experiments.host.joining import joined
from experiments.report.html import write_report
from experiments.report.results import read_members
from experiments.report.tables import write_results
from experiments.spec import flags as shared_flags
from experiments.spec import reading
from experiments.spec.datasets import IMAGES, POINTS
from experiments.spec.defaults import default_steps, defaults_table
from experiments.spec.grid import Grid
from experiments.spec.notes import notes
from experiments.spec.settings import make_loader
from wgan_jax.sweep import BATCHING

_MANY, _MOST = 1000, 10**5


def register(flag_values: flags.FlagValues) -> None:
  """Registers this launcher's flags."""
  shared_flags.register_images(flag_values, *IMAGES, *POINTS)
  shared_flags.register_settings(flag_values, (*IMAGES, *POINTS), lists=True)
  shared_flags.register_run(
    flag_values, steps_text="those of the longest of these runs alone", sample_every=None
  )
  batching = (
    "Members of a call all at once, or one after another in the program; if not given map on a CPU,"
    " where it is faster and a member has the bits of the run alone, and vmap elsewhere."
  )
  budget = (
    "Instead of --steps: the time for each member. It gets the steps that fit, as measured at the"
    " start, so that settings are compared at equal time; they are recorded."
  )
  at_once = "Members in one call; as many as memory allows, if not given."
  shared_flags.register_rows(
    flag_values,
    ("seeds", 1, "How many seeds: 0, 1, ... of each combination.", (1, shared_flags.MAX_SEED)),
    ("members_at_once", None, at_once, (1, 10**6)),
    ("batching", None, batching, list(BATCHING)),
    ("budget_seconds", None, budget, (1, 10**7)),
    ("dry_run", False, "Print the plan, measured, and write nothing."),
    ("report_only", False, "Write results and report again, from the files in --workdir."),
    ("yes", False, f"Go on with more than {_MANY} members."),
  )


def main(flag_values: flags.FlagValues) -> None:
  """Trains what is not trained yet, and reports."""
  shared_flags.check_run(flag_values)
  if flag_values.report_only and flag_values.dry_run:
    raise UserError("--dry_run does nothing with --report_only: leave one of them out")
  if flag_values.report_only:
    if flag_values.coordinator:
      raise UserError("--coordinator does nothing with --report_only: leave one of them out")
    return _report_only(flag_values)
  budget = flag_values.budget_seconds
  if budget and flag_values["steps"].present:
    raise UserError("--steps does nothing with --budget_seconds: leave one of them out")
  choices = reading.read_choices(flag_values)

  def path_of(dataset):
    return pathlib.Path(flag_values.workdir or f"runs/sweep-{dataset}").expanduser()

  name = reading.choose_dataset(flag_values, lambda name: recorded_dataset(path_of(name), "sweep"))
  n_members = Grid(name, choices, 1).size * flag_values.seeds
  if n_members > _MOST:
    raise UserError(f"these lists make {n_members} members, more than {_MOST:,}: name fewer values")
  if n_members > _MANY and not flag_values.yes:
    raise UserError(f"these lists make {n_members} members: add --yes to go on with so many")
  if flag_values.steps is None:
    flag_values.steps = max(map(default_steps, Grid(name, choices, 1).settings([0])))
  path = path_of(name)
  runs = Grid(name, choices, flag_values.steps).settings(range(flag_values.seeds))
  use_all_cores()
  use_compilation_cache(flag_values.compilation_cache)
  load = make_loader(flag_values.data_dir)
  with joined(flag_values) as team:
    if team.leads:
      return _train(flag_values, path, runs, choices, load, team)
    team.agree(data_sha256=load(runs[0]).digest())
    return follow(team, load)


def _train(flag_values, path, runs, choices, load, team):
  """Trains and reports, as the process that leads."""
  budget, steps = flag_values.budget_seconds, flag_values.steps
  flags_given, name = flag_values.flag_values_dict(), runs[0].dataset
  if not budget:
    check_sweep_folder(path, runs, flags_given)  # Before minutes go into data.
  environment = describe_environment()
  layout = Layout(
    flag_values.batching or default_batching(),  # It asks JAX: not before `use_all_cores`.
    flag_values.members_at_once,
    choose_data_parallel(flag_values.data_parallel, runs),
    team,
  )
  environment |= {"data_parallel": layout.data_parallel}
  intervals = Intervals.of_flags(flag_values)
  dataset = load(runs[0])
  team.agree(data_sha256=dataset.digest())
  if budget:
    multiple = flag_values.slow_every or flag_values.log_every
    steps = budget_steps(path, runs, load, layout, seconds=budget, multiple=multiple)
    if "decay_steps" not in choices:
      runs = [run.over(last_step(steps, run)) for run in runs]
    flags_given |= {"steps": steps}
    check_sweep_folder(path, runs, flags_given)
  where = "{platform}, {devices} x {device}".format(**environment)
  print(f"{len(runs)} members on {where}; {name}: {dataset.description}")
  for program, n_steps in steps.items() if budget else ():
    print(f"{n_steps:,} steps in {budget} s: {program}")
  for note in dict.fromkeys(note for run in runs for note in notes(run, last_step(steps, run))):
    print(f"note: {note}")
  if not budget and flag_values.slow_every and flag_values.steps % flag_values.slow_every:
    print(
      f"note: --slow_every={flag_values.slow_every} does not divide --steps={flag_values.steps}:"
      " the tables use the last line, which then has no slow measures"
    )

  if flag_values.dry_run:
    print_plan(runs, load, layout, steps=steps)
    return None
  with open_sweep(path, runs, dataset, flags_given, environment) as folder:
    print(f"sweep folder {path}", flush=True)
    try:
      train_sweep(folder, runs, load, layout=layout, steps=steps, intervals=intervals)
    except Stopped:
      write_results(folder, read_members(folder))
      raise
    members = read_members(folder)
    write_results(folder, members)
    write_report(folder, members)
  n_diverged = sum(member.status == "diverged" for member in members)
  print(f"done: {len(members)} members, {n_diverged} of them diverged: {path}/report.html")
  return None


def _report_only(flag_values: flags.FlagValues) -> None:
  if flag_values.workdir is None:
    raise UserError("--report_only needs --workdir: name a sweep's folder")
  folder = SweepFolder(pathlib.Path(flag_values.workdir).expanduser())
  folder.read_runs()
  with locked(folder.path):
    members = read_members(folder)
    write_results(folder, members)
    write_report(folder, members)
  print(f"written again: {folder.path}/results.csv, results.json, report.html")


if __name__ == "__main__":
  tables = f"{defaults_table('mnist')}\n\n{defaults_table('ring')}"
  raise SystemExit(cli.run(main, register, f"{__doc__}\n{tables}"))

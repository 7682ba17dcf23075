"""How much faster members of a sweep are than the same runs one after another.

python -m experiments.benchmark --architecture=mlp,dcgan --members=1,2,4,8,16,32,64

A run alone, vmapped members and mapped members take turns in one process, on the embedded digits;
compiling is not counted. Prints a table and writes it with a picture.
"""

import dataclasses
import pathlib
import statistics
import sys
import time

import jax
from absl import flags

from experiments.harness import cli
from experiments.harness import flags as shared_flags
from experiments.harness.environment import describe_environment, use_all_cores
from experiments.harness.errors import UserError
from experiments.harness.files import write_json
from experiments.harness.grid import Grid
from experiments.harness.plots import draw_ratios
from experiments.harness.program import MembersProgram, Program
from experiments.harness.results import label
from experiments.harness.settings import Settings
from wgan_jax.sweep import BATCHING

_OTHERS = [
  field.name
  for field in dataclasses.fields(Settings)
  if field.name not in ("architecture", "width", "penalty")
]


def register(flag_values: flags.FlagValues) -> None:
  """This launcher's flags."""
  shared_flags.register_method(flag_values, lists=True)
  shared_flags.register_list(
    flag_values, "members", (1, 2, 4, 8, 16, 32, 64), "Members.", flags.IntegerParser(1, 10**5)
  )
  flags.DEFINE_string(
    "workdir", "runs/benchmark", "The folder for table and picture.", flag_values=flag_values
  )
  for name, default, text in [
    ("rounds", 5, "Rounds, in each of which every way has its turn."),
    ("steps", 5, "Steps of a turn."),
  ]:
    flags.DEFINE_integer(
      name, default, text, lower_bound=1, upper_bound=10**6, flag_values=flag_values
    )


def main(flag_values: flags.FlagValues) -> None:
  """Measures, prints and writes."""
  shared_flags.refuse_empty(flag_values, "workdir")
  folder = pathlib.Path(flag_values.workdir).expanduser()
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(f"--workdir={folder} cannot be written ({error.strerror})") from error
  grid = Grid("digits", shared_flags.read_choices(flag_values))
  use_all_cores()
  environment = describe_environment()
  print(f"on {environment['devices']} x {environment['device']}, jax {environment['jax']}")
  print("network           members  alone, ms a step  times faster by vmap       by map")
  rows = []
  runs = grid.settings([0])
  dataset = runs[0].load()
  for run in runs:
    differ = [name for name in _OTHERS if len({getattr(each, name) for each in runs}) > 1]
    name = f"{run.architecture} {run.width} {run.penalty} {label(run, differ)}".rstrip()
    alone = Program(run, dataset, flag_values.steps)
    for n_members in flag_values.members:
      row = {"network": name, "members": n_members}
      row |= _measure(run, alone, dataset, n_members, flag_values.steps, flag_values.rounds)
      rows.append(row)
      ratios = [f"{row[way][1]:5.2f} ({row[way][0]:.2f}-{row[way][2]:.2f})" for way in BATCHING]
      print(f"{name:17} {n_members:7} {row['alone_ms']:17.3g} {ratios[0]:>21} {ratios[1]:>19}")
      sys.stdout.flush()
  write_json(folder / "sweep.json", {"environment": environment, "rows": rows})
  draw_ratios(folder / "sweep.png", rows, list(BATCHING))
  print(f"written: {folder}/sweep.json, sweep.png")


def _measure(run, alone, dataset, n_members, n_steps, n_rounds):
  """The least, median and largest ratio over the rounds, for each way."""
  programs = {way: MembersProgram([run] * n_members, dataset, n_steps, way) for way in BATCHING}
  states = {"alone": alone.init()} | {way: each.init() for way, each in programs.items()}
  seconds = {name: [] for name in states}
  for _ in range(n_rounds + 1):
    for name, state in states.items():
      started = time.perf_counter()
      states[name], _ = (programs.get(name) or alone).chunk(state, n_steps)
      jax.block_until_ready(states[name])
      each = n_members if name in programs else 1
      seconds[name].append((time.perf_counter() - started) / n_steps / each)
  alone_seconds = seconds.pop("alone")[1:]  # The first round compiles.
  row = {"alone_ms": 1000 * statistics.median(alone_seconds)}
  for way, times in seconds.items():
    ratios = [a / b for a, b in zip(alone_seconds, times[1:], strict=True)]
    row[way] = [min(ratios), statistics.median(ratios), max(ratios)]
  return row


if __name__ == "__main__":
  sys.exit(cli.run(main, register, __doc__))

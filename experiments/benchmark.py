"""How fast training is: against PyTorch, XLA's own convolutions and the machine's peak.

python -m experiments.benchmark

Rows that compare let the ways take turns in one run, so that a busy machine slows all of them, and
tell the median of the rounds with their range; compiling is not counted. Others run the main job in
processes of its own: host and memory once, the starts as often as there are rounds. Images are the
embedded digits, of MNIST's size. Prints a table and writes it. PyTorch is in the extra `benchmark`.
"""

import os
import pathlib
import sys

from absl import flags

from experiments.host import cli
from experiments.host.environment import describe_environment, use_all_cores
from experiments.host.errors import UserError
from experiments.host.files import write_json
from experiments.spec import flags as shared_flags
from experiments.speed.parts import PARTS
from experiments.speed.processes import PROCESSES
from experiments.speed.steps import STEPS, TorchMissingError, members_against_alone, settings_of
from wgan_jax.sweep import BATCHING

_TITLES = {
  "mnist_64": "DCGAN step on 28 x 28, width 64, against PyTorch eager",
  "mnist_32": "DCGAN step on 28 x 28, width 32, against PyTorch eager",
  "native_64": "the same, width 64, against XLA's own convolutions",
  "peak_64": "arithmetic rate over that of a matrix product, width 64",
  "parts_64": "a convolution and its gradients by Toom-Cook, against columns",
  "penalty_64": "cost of the penalty over that of its arithmetic",
  "toy_64": "25 Gaussians, 3 x 64, against PyTorch eager",
  "toy_512": "25 Gaussians, 3 x 512, against PyTorch eager",
  "toy_sweep": "32 toy runs, 3 x 64, a run, against PyTorch one by one",
  "mnist_sweep": "64 DCGAN runs, width 64, a run, against PyTorch one by one",
  "host": "share of a default run that neither trains nor measures",
  "start_cold": "start to the end of the first chunk, nothing compiled",
  "start_warm": "the same, programs from the cache",
  "memory": "most memory of the process, width 64",
  "members": "members of a sweep against the same runs alone",
}
_ROWS = STEPS | PARTS | PROCESSES
# The sweep of DCGANs is for a GPU; members takes half an hour.
_DEFAULT = tuple(name for name in _ROWS if name != "mnist_sweep")
# Networks of --rows=members: architecture, width, steps of a turn.
_MEMBERS = [("mlp", 64, 5), ("mlp", 256, 5), ("dcgan", 16, 2), ("dcgan", 32, 2)]


def register(flag_values: flags.FlagValues) -> None:
  """This launcher's flags."""
  names = flags.EnumParser([*_ROWS, "members"])
  text = "Rows: " + "; ".join(f"{name}: {title}" for name, title in _TITLES.items()) + "."
  shared_flags.register_list(flag_values, "rows", _DEFAULT, text, names)
  shared_flags.register_list(
    flag_values,
    "members",
    (1, 2, 4, 8, 16, 32, 64),
    "Members of the sweeps of --rows=members.",
    flags.IntegerParser(1, 10**5),
  )
  flags.DEFINE_string(
    "workdir", "runs/benchmark", "The folder for table and picture.", flag_values=flag_values
  )
  flags.DEFINE_integer(
    "rounds",
    5,
    "Rounds, in each of which every way has its turn.",
    lower_bound=1,
    upper_bound=10**6,
    flag_values=flag_values,
  )


def main(flag_values: flags.FlagValues) -> None:
  """Measures, prints and writes."""
  shared_flags.refuse_empty(flag_values, "workdir")
  if flag_values["members"].present and "members" not in flag_values.rows:
    raise UserError("--members does nothing without --rows=members: leave it out")
  folder = pathlib.Path(flag_values.workdir).expanduser()
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(f"--workdir={folder} cannot be written ({error.strerror})") from error
  use_all_cores()
  environment = describe_environment()
  print(f"on {environment['devices']} x {environment['device']}, jax {environment['jax']}")
  if rows := [name for name in flag_values.rows if name in _ROWS]:
    _measure(rows, flag_values.rounds, folder, environment)
  if "members" in flag_values.rows:
    _measure_members(flag_values.members, flag_values.rounds, folder, environment)


def _measure(names, rounds, folder, environment):
  rows = []
  for name in names:
    try:
      row = _ROWS[name](rounds)
    except TorchMissingError:
      print(f"{name:11} {_TITLES[name]}: no PyTorch for this device: pip install -e '.[benchmark]'")
      continue
    low, middle, high = row.value
    spread = f"({low:.3g} to {high:.3g})" if low < high else ""
    print(f"{name:11} {_TITLES[name]:58} {middle:6.3g} {row.unit} {spread}", flush=True)
    rows.append(
      {
        "row": name,
        "what": _TITLES[name],
        "unit": row.unit,
        "value": row.value,
        "details": row.details,
        "load": os.getloadavg()[0],
      }
    )
    write_json(folder / "benchmark.json", {"environment": environment, "rows": rows})
  if rows:
    print(f"written: {folder}/benchmark.json")


def _measure_members(counts, rounds, folder, environment):
  from experiments.speed.ratios import draw_ratios

  print("network           members  alone, ms a step  times faster by vmap       by map")
  rows = []
  for architecture, width, n_steps in _MEMBERS:
    settings = settings_of("digits", architecture=architecture, width=width)
    for n_members in counts:
      row = {"network": f"{architecture} {width}", "members": n_members}
      row |= members_against_alone(settings, rounds, n_steps, n_members)
      rows.append(row)
      ratios = [f"{row[way][1]:5.2f} ({row[way][0]:.2f}-{row[way][2]:.2f})" for way in BATCHING]
      print(
        f"{row['network']:17} {n_members:7} {row['alone_ms']:17.3g} {ratios[0]:>21}"
        f" {ratios[1]:>19}",
        flush=True,
      )
  write_json(folder / "sweep.json", {"environment": environment, "rows": rows})
  draw_ratios(folder / "sweep.png", rows, list(BATCHING))
  print(f"written: {folder}/sweep.json, sweep.png")


if __name__ == "__main__":
  sys.exit(cli.run(main, register, __doc__))

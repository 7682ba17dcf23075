"""How fast training is: against PyTorch, XLA's own convolutions and the machine's peak.

python -m experiments.benchmark

Rows that compare let the ways take turns in one process, so that a busy machine slows all of them.
They give the median of the rounds with their range; the first turn, in which a way compiles, is not
counted. Other rows run the main job in processes of its own: host and memory once, the starts as
often as there are rounds. Images are the embedded digits, of MNIST's size; time_to_quality takes
MNIST itself, if it is prepared. Prints a table and writes it to benchmark.json, in which rows of an
earlier start stay that are not measured again. PyTorch is in the extra `benchmark`.
"""

import os
import pathlib
from typing import NotRequired, TypedDict

from absl import flags

from experiments.host import cli
from experiments.host.environment import describe_environment, use_all_cores
from experiments.host.errors import UserError
from experiments.host.files import read_json, write_json
from experiments.spec import flags as shared_flags
from experiments.speed.comparisons import TorchMissingError
from experiments.speed.rows import ROWS


class _Row(TypedDict):
  row: str
  environment: NotRequired[dict]


class _Benchmark(TypedDict):
  rows: list[_Row]
  environment: NotRequired[dict]  # Of all rows, in an earlier version's file.


def register(flag_values: flags.FlagValues) -> None:
  """Defines this launcher's flags."""
  default = tuple(row.name for row in ROWS.values() if row.default)
  text = "Rows: " + "; ".join(f"{row.name}: {row.title}" for row in ROWS.values()) + "."
  shared_flags.register_list(flag_values, "rows", default, text, flags.EnumParser(list(ROWS)))
  shared_flags.register_rows(
    flag_values,
    ("workdir", "runs/benchmark", "The folder for benchmark.json."),
    ("rounds", 5, "Rounds, in each of which every way has its turn.", (1, 10**6)),
  )


def main(flag_values: flags.FlagValues) -> None:
  """Measures the rows, prints each and writes them."""
  shared_flags.check_paths(flag_values, "workdir")
  folder = pathlib.Path(flag_values.workdir).expanduser()
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(f"--workdir={folder} cannot be written ({error.strerror})") from error
  file = folder / "benchmark.json"
  written = {}
  if file.exists():
    earlier = read_json(file, _Benchmark)
    common = {"environment": earlier.get("environment", {})}
    written = {row["row"]: common | row for row in earlier["rows"]}
  use_all_cores()
  environment = describe_environment()
  print(f"on {environment['devices']} x {environment['device']}, jax {environment['jax']}")
  for name in flag_values.rows:
    row = ROWS[name]
    heading = f"{name:16} {row.title:60}"
    try:
      measurement = value, unit, details = row.measure(flag_values.rounds)
    except TorchMissingError:
      print(f"{heading} no PyTorch for this device: pip install -e '.[benchmark]'")
      continue
    interval = f" ({value.low:.3g} to {value.high:.3g})" if value.low < value.high else ""
    print(f"{heading} {value.median:6.3g} {unit}{interval}", flush=True)
    shown = {"row": name, "what": row.title, "unit": unit, "value": value, "details": details}
    written[name] = shown | {"load": os.getloadavg()[0], "environment": environment}
    write_json(file, {"rows": list(written.values())})
    if row.draw is not None:
      row.draw(folder / f"{name}.png", measurement)
      print(f"drawn: {folder}/{name}.png")
  if file.exists():
    print(f"written: {file}")


if __name__ == "__main__":
  raise SystemExit(cli.run(main, register, __doc__))

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
from experiments.host.environment import (
  describe_environment,
  use_all_cores,
  use_compilation_cache,
)
from experiments.host.errors import UserError
from experiments.host.files import read_json, write_json
from experiments.spec import flags as shared_flags
from experiments.speed.comparisons import TorchMissingError
from experiments.speed.rows import PRESETS, ROWS
from experiments.speed.turns import MedianRange


class _Row(TypedDict):
  row: str
  environment: NotRequired[dict]


class _Benchmark(TypedDict):
  rows: list[_Row]
  environment: NotRequired[dict]  # Of all rows, in an earlier version's file.


def register(flag_values: flags.FlagValues) -> None:
  """Defines this launcher's flags."""
  text = "Rows, if not those of --preset=default: "
  text += "; ".join(f"{row.name}: {row.title}" for row in ROWS.values()) + "."
  shared_flags.register_list(flag_values, "rows", None, text, flags.EnumParser(list(ROWS)))
  shared_flags.register_rows(
    flag_values,
    ("workdir", "runs/benchmark", "The folder for benchmark.json."),
    (
      "preset",
      None,
      "Instead of --rows: default; accelerator, rows for a GPU or TPU, which compile for minutes;"
      " tiny, the same rows with networks that a CPU trains in a minute.",
      list(PRESETS),
    ),
    ("rounds", 5, "Rounds, in each of which every way has its turn.", (1, 10**6)),
  )


def main(flag_values: flags.FlagValues) -> None:
  """Measures the rows, prints each and writes them."""
  shared_flags.check_paths(flag_values, "workdir")
  if flag_values.rows is not None and flag_values.preset is not None:
    raise UserError("--rows and --preset both choose the rows: give one of them")
  rows = flag_values.rows or PRESETS[flag_values.preset or "default"]
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
  failed = []
  use_all_cores()
  use_compilation_cache(None)  # Compiling for a GPU takes longer than what is measured.
  environment = describe_environment()
  print(f"on {environment['devices']} x {environment['device']}, jax {environment['jax']}")
  for name in rows:
    row = ROWS[name]
    heading = f"{name:16} {row.title:60}"
    try:
      measurement = value, unit, details = row.measure(flag_values.rounds)
    except TorchMissingError:
      print(f"{heading} no PyTorch for this device: pip install -e '.[benchmark]'")
      continue
    except RuntimeError as error:  # Of a device, such as one without memory enough for this row.
      failed.append(name)
      print(f"{heading} failed: {str(error).partition(chr(10))[0][:300]}", flush=True)
      continue
    interval = f" ({value.low:.3g} to {value.high:.3g})" if value.low < value.high else ""
    print(f"{heading} {value.median:6.3g} {unit}{interval}", flush=True)
    for part, figure in details.items():
      print(f"  {part:34} {_shown(figure)}", flush=True)
    shown = {"row": name, "what": row.title, "unit": unit, "value": value, "details": details}
    written[name] = shown | {"load": os.getloadavg()[0], "environment": environment}
    write_json(file, {"rows": list(written.values())})
    if row.draw is not None:
      row.draw(folder / f"{name}.png", measurement)
      print(f"drawn: {folder}/{name}.png")
  if file.exists():
    print(f"written: {file}")
  if failed:
    raise UserError(f"--rows={','.join(failed)}: failed, as said above; the others are measured")


def _shown(figure) -> str:
  if isinstance(figure, MedianRange):
    return f"{figure.median:.4g} ({figure.low:.4g} to {figure.high:.4g})"
  return f"{figure:.4g}" if isinstance(figure, float) else str(figure)


if __name__ == "__main__":
  raise SystemExit(cli.run(main, register, __doc__))

"""The rows of the benchmark that are of whole processes: start, memory, host time.

Each runs the main job, `python -m experiments.mnist --dataset=digits`, in a folder of its own.
"""

import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from experiments.host import files
from experiments.host.errors import UserError
from experiments.speed.steps import Row
from experiments.speed.turns import Spread

_PEAK = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


def start_cold(rounds: int) -> Row:
  """From the process's start to the end of the first chunk of steps, with nothing compiled."""
  return _starts(rounds, warm=False)


def start_warm(rounds: int) -> Row:
  """The same where an earlier process has left its compiled programs."""
  return _starts(rounds, warm=True)


def memory(rounds: int) -> Row:
  """The most memory of the whole process that trains at width 64 with 64 images a batch."""
  del rounds  # It hardly differs.
  with tempfile.TemporaryDirectory() as folder:
    peak = _train(pathlib.Path(folder) / "run", "--width=64", "--steps=40")
  return Row(Spread.of([peak / 2**30]), "GiB", {})


def host_share(rounds: int) -> Row:
  """The share of a default run, once all is compiled, in which it neither trains nor measures."""
  del rounds  # A run has some sixty chunks.
  with tempfile.TemporaryDirectory() as folder:
    run = pathlib.Path(folder) / "run"
    _train(run)
    lines = files.read_lines(run / "timing.jsonl")
  return of_host(lines)


def of_host(lines: list[dict]) -> Row:
  """That share, of the lines of a timing.jsonl, from the second picture's interval on."""
  # The first picture loads matplotlib and compiles, and the first checkpoint warms orbax.
  lines = [line for line in lines if line["step"] > 200]
  seconds = {
    name: sum(line[f"{name}_seconds"] for line in lines) for name in ("chunk", "measure", "host")
  }
  share = (seconds["host"] - seconds["measure"]) / (seconds["chunk"] + seconds["host"])
  return Row(Spread.of([100 * share]), "% of the run", seconds)


PROCESSES: dict[str, Callable[[int], Row]] = {
  "host": host_share,
  "start_cold": start_cold,
  "start_warm": start_warm,
  "memory": memory,
}
"""By name, a function of the rounds."""


def _starts(rounds, warm):
  taken = []
  with tempfile.TemporaryDirectory() as folder:
    for i in range(rounds + warm):
      run, cache = (pathlib.Path(folder) / f"{name}{i}" for name in ("run", "cache"))
      if warm:
        cache = pathlib.Path(folder) / "cache"
      started = time.time()
      _train(run, "--steps=20", cache=str(cache))
      (line,) = files.read_lines(run / "timing.jsonl")
      taken.append(line["time"] - line["host_seconds"] - started)
  return Row(Spread.of(taken[warm:]), "s", {})


def _train(run: pathlib.Path, *arguments: str, cache: str = "none") -> int:
  """Trains; -> the most bytes that the process held."""
  command = [sys.executable, "-m", "experiments.mnist", "--dataset=digits", f"--workdir={run}"]
  command += [f"--compilation_cache={cache}", *arguments]
  # A process counts the memory of the one that it was forked from as its own: a small one forks it.
  done = subprocess.run(
    [sys.executable, "-c", _PEAK, *command], capture_output=True, text=True, check=False
  )
  if done.returncode:
    raise UserError(f"{' '.join(command)}: failed: {done.stderr[-300:]}")
  return int(done.stdout.split()[-1]) * (1 if sys.platform == "darwin" else 1024)

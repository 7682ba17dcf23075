"""Measurements of whole processes: time to start, peak memory, host time.

Each runs the main job, `python -m experiments.mnist --dataset=digits`, in a temporary folder.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from experiments.host import files
from experiments.host.errors import UserError
from experiments.spec.presets import PLAIN_DCGAN
from experiments.speed.turns import Measurement, MedianRange

# Linux counts the memory of the process that forks as the child's own: a small one forks it.
_PEAK = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


def start(rounds: int, *, warm: bool) -> Measurement:
  """Times from a process's start to the end of its first chunk of steps, one process a round.

  If `warm`, an earlier process has filled the compilation cache; else it is empty.
  """
  taken = []
  with tempfile.TemporaryDirectory() as folder:
    for i in range(rounds + warm):
      run, started = pathlib.Path(folder) / f"run{i}", time.time()
      _train(run, "--steps=20", cache=f"{folder}/cache" if warm else f"{folder}/cache{i}")
      (line,) = files.read_lines(run / "timing.jsonl")
      taken.append(line["time"] - line["host_seconds"] - started)
  return Measurement(MedianRange.of(taken[warm:]), "s", {})


def memory(rounds: int) -> Measurement:
  """Peak memory of the process that trains at width 64 with 64 images a batch."""
  del rounds  # It hardly differs.
  with tempfile.TemporaryDirectory() as folder:
    choices = PLAIN_DCGAN | {"width": 64, "steps": 40}
    arguments = [f"--{name}={value}" for name, value in choices.items()]
    peak = _train(pathlib.Path(folder) / "run", *arguments)
  return Measurement(MedianRange.of([peak / 2**30]), "GiB", {})


def host_share(rounds: int) -> Measurement:
  """Share of a default run in which it neither trains nor measures."""
  del rounds  # A run has some sixty chunks.
  with tempfile.TemporaryDirectory() as folder:
    run = pathlib.Path(folder) / "run"
    _train(run)
    return share_of_host(files.read_lines(run / "timing.jsonl"))


def repeat(choices: dict, xla_flags: dict[str, str]) -> dict[str, bool]:
  """Runs a command twice for each of several XLA flags; tells which wrote equal metrics.

  The pairs run at the same time. As by default, the second of a pair loads the first one's program
  from the compilation cache.

  Args:
    choices: flags of the main job.
    xla_flags: what is added to XLA_FLAGS, by name.
  """
  arguments = [f"--{name}={value}" for name, value in choices.items()]

  def is_equal(flags):
    # Two processes share the device: neither may take all of its memory.
    environment = {
      "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip(),
      "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    with tempfile.TemporaryDirectory() as folder:
      runs = [pathlib.Path(folder) / name for name in ("first", "second")]
      for run in runs:
        _train(run, *arguments, cache=f"{folder}/cache", environment=environment)
      first, second = (files.read_bytes(run / "metrics.jsonl") for run in runs)
    return first == second

  with ThreadPoolExecutor() as pool:
    return dict(zip(xla_flags, pool.map(is_equal, xla_flags.values()), strict=True))


def share_of_host(lines: list[dict]) -> Measurement:
  """Host share computed from timing.jsonl, without the first 1,000 steps.

  In those the first picture loads matplotlib and compiles, and the first checkpoint starts orbax.
  """
  lines = [line for line in lines if line["step"] > 1000]
  parts = ("chunk", "measure", "host")
  seconds = {name: sum(line[f"{name}_seconds"] for line in lines) for name in parts}
  share = (seconds["host"] - seconds["measure"]) / (seconds["chunk"] + seconds["host"])
  return Measurement(MedianRange.of([100 * share]), "% of the run", seconds)


def _train(
  run: pathlib.Path, *arguments: str, cache: str = "none", environment: Mapping[str, str] = {}
) -> int:
  """Trains in a process of its own; returns the most bytes that the process held."""
  command = [sys.executable, "-m", "experiments.mnist", "--dataset=digits", f"--workdir={run}"]
  command += [f"--compilation_cache={cache}", *arguments]
  measured = [sys.executable, "-c", _PEAK, *command]
  environment = os.environ | environment
  done = subprocess.run(measured, capture_output=True, text=True, check=False, env=environment)
  if done.returncode:
    raise UserError(f"{' '.join(command)}: failed: {done.stderr[-300:]}")
  return int(done.stdout.split()[-1]) * (1 if sys.platform == "darwin" else 1024)

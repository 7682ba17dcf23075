"""A long run with all that can be logged: memory, files and rate stay as they are."""

import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from experiments.host.files import read_lines

ROOT = pathlib.Path(__file__).parents[2]
STEPS = 20_000
ARGUMENTS = (
  "--dataset=ring",
  "--penalty=gp",
  f"--steps={STEPS}",
  "--log_every=50",
  "--sample_every=500",
  "--checkpoint_every=500",
  "--slow_every=1000",
  "--tensorboard",
)


@pytest.mark.campaign
def test_memory_is_flat_files_are_bounded_and_the_rate_is_constant(tmp_path):
  command = [sys.executable, "-m", "experiments.toy", f"--workdir={tmp_path}/run", *ARGUMENTS]
  environment = os.environ | {"PYTHONPATH": str(ROOT)}
  quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
  run, samples = subprocess.Popen(command, cwd=ROOT, env=environment, **quiet), []
  process = psutil.Process(run.pid)
  while run.poll() is None:
    cpu = process.cpu_times()
    samples.append((time.time(), cpu.user + cpu.system, process.memory_info().rss / 1e6))
    time.sleep(0.5)
  assert run.returncode == 0
  folder, (at, seconds, sizes) = tmp_path / "run", np.transpose(samples)
  quarter = len(sizes) // 4
  early, late = sizes[:quarter].max(), sizes[-quarter:].max()
  # By the processor's time: other programs may take it away for a while.
  reached = {line["step"]: line["time"] for line in read_lines(folder / "timing.jsonl")}
  marks = np.interp([reached[STEPS * part // 10] for part in (1, 5, 9)], at, seconds)
  first, last = 0.4 * STEPS / np.diff(marks)
  checkpoints = {int(each.name) for each in (folder / "checkpoints").iterdir()}
  lines = [line["step"] for line in read_lines(folder / "metrics.jsonl")]
  print(f"\nmemory: at most {early:.0f} MB in the first quarter, {late:.0f} MB in the last")
  print(f"rate: {first:.0f} steps a processor's second in steps 10 to 50 %, {last:.0f} to 90 %")
  print(f"{len(checkpoints)} checkpoints, {len(lines)} lines")
  assert late < 1.05 * early
  assert last > 0.9 * first
  assert checkpoints == {STEPS - 1000, STEPS - 500, STEPS}
  assert lines == list(range(50, STEPS + 1, 50))

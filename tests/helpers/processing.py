"""Launches several processes that train together on this machine, a CPU device or more each."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from experiments.host.channel import free_port

ROOT = pathlib.Path(__file__).parents[2]
TINY_POINTS = (
  "--width=8",
  "--batch_size=8",
  "--steps=12",
  "--log_every=4",
  "--sample_every=12",
  "--checkpoint_every=4",
)


def launch(
  workdir: pathlib.Path,
  *arguments: str,
  own: Sequence[Sequence[str]] = ((), ()),
  n: int | None = None,
  devices: int = 1,
  launcher: str = "toy",
  join_seconds: int = 60,
) -> list[subprocess.Popen]:
  """Starts processes of a tiny run of points.

  Args:
    workdir: the run's.
    arguments: of all processes.
    own: those of each; there are as many processes. Of a flag that comes twice the last one counts.
    n: --num_processes, if it is another number.
    devices: of each process.
    launcher: a module of experiments.
    join_seconds: as the flag.
  """
  port, n = free_port(), n or len(own)
  shared = [f"--coordinator=localhost:{port}", f"--num_processes={n}", f"--workdir={workdir}"]
  shared += [f"--join_seconds={join_seconds}", *TINY_POINTS, *arguments]
  environment = os.environ | {"XLA_FLAGS": "", "JAX_NUM_CPU_DEVICES": str(devices)}
  return [
    subprocess.Popen(
      [sys.executable, "-m", f"experiments.{launcher}", *shared, f"--process_id={i}", *each],
      cwd=ROOT,
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for i, each in enumerate(own)
  ]


def wait_for_steps(process: subprocess.Popen) -> None:
  """Waits until process 0 is about to train."""
  for line in process.stdout:
    if line.startswith(("starting", "resumed")):
      return


def finish(processes: Sequence[subprocess.Popen], seconds: float = 120) -> list[tuple[int, str]]:
  """-> exit status, and what stands in standard error besides metrics, of each."""
  ended = []
  for process in processes:
    try:
      _, errors = process.communicate(timeout=seconds)
    finally:
      process.kill()
    lines = [line for line in errors.splitlines(keepends=True) if not line.startswith("step ")]
    ended.append((process.returncode, "".join(lines)))
  return ended

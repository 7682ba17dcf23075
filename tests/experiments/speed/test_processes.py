"""Figures of whole processes."""

import pathlib
import subprocess
import sys

import pytest

from experiments.host.errors import UserError
from experiments.speed import processes


def test_the_hosts_share_is_of_what_comes_after_the_first_picture():
  """9 s train, 1 s is the host's, and half of that measures."""
  line = {"step": 1100, "chunk_seconds": 9.0, "host_seconds": 1.0, "measure_seconds": 0.5}
  measurement = processes.share_of_host([line | {"step": 1000, "host_seconds": 99.0}, line])
  assert measurement.value.median == 5.0


def test_a_process_is_not_charged_with_the_memory_of_this_one():
  """The tests hold JAX; a bare Python holds some 20 MB."""
  bare = [sys.executable, "-c", "pass"]
  done = subprocess.run(
    [sys.executable, "-c", processes._PEAK, *bare], capture_output=True, check=True
  )
  assert int(done.stdout) * (1 if sys.platform == "darwin" else 1024) < 60e6


@pytest.mark.parametrize("warm", [False, True])
def test_only_warm_starts_share_a_cache_and_their_first_is_not_counted(warm, monkeypatch):
  clock, caches = iter([0.0, 10.0, 20.0]), []

  def train(run: pathlib.Path, *arguments, cache):
    caches.append(cache)
    run.mkdir()
    ended = 10 * (len(caches) - 1) + (8 if len(caches) == 1 else 4)
    (run / "timing.jsonl").write_text(f'{{"time": {ended}, "host_seconds": 1}}\n')

  monkeypatch.setattr(processes, "_train", train)
  monkeypatch.setattr("time.time", lambda: next(clock))
  measurement = processes.start(2, warm=warm)
  assert len(set(caches)) == (1 if warm else 2)
  assert measurement.value == ((3.0, 3.0, 3.0) if warm else (3.0, 5.0, 7.0))


def test_a_failing_process_is_one_error_with_its_command(monkeypatch, tmp_path):
  monkeypatch.setattr(processes, "_PEAK", "import sys; sys.exit('out of luck')")
  with pytest.raises(UserError, match=r"experiments\.mnist .*--width=3.*failed: out of luck"):
    processes._train(tmp_path, "--width=3")

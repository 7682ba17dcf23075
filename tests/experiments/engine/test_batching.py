"""How members are run: what fits, what is fastest, and that it is chosen once."""

import os
import subprocess
import sys

import pytest
from helpers.launching import launch, train_sweep

from experiments import sweep
from experiments.engine import batching
from experiments.host.environment import use_all_cores


@pytest.mark.slow
def test_the_fastest_way_is_measured_once(tmp_path, monkeypatch, capsys):
  asked = []

  def timed(programs, n_steps):
    asked.append(set(programs))
    return {"map": 1.0, "loop": 2.0, "vmap": 0.5}

  monkeypatch.setattr(batching, "_time", timed)
  arguments = [f"--workdir={tmp_path}/sweep", "--dataset=digits", "--architecture=mlp", "--width=4"]
  arguments += ["--penalty=none", "--seeds=3", "--steps=2", "--batch_size=4"]
  assert launch(sweep, *arguments) == 0
  assert asked == [{"loop", "map", "vmap"}]
  assert "at once by vmap" in capsys.readouterr().out
  assert launch(sweep, *arguments[:-2], "--steps=3", "--batch_size=4") == 0
  assert len(asked) == 1
  # A gain of less than 5 % is not worth the bits.
  monkeypatch.setattr(batching, "_time", lambda *_: {"map": 1.0, "loop": 2.0, "vmap": 0.96})
  assert (
    launch(sweep, *arguments[:-2], "--steps=3", "--batch_size=4", "--seeds=4", "--dry_run") == 0
  )
  assert "at once by map" in capsys.readouterr().out


def test_members_at_once_are_what_memory_allows(tmp_path, monkeypatch, capsys):
  """With the memory of five vmapped members, five are run at once; with less than one's, none."""
  path = tmp_path / "sweep"
  arguments = ["--penalty=gp", "--seeds=40", "--dry_run"]
  monkeypatch.setattr(batching, "_time", lambda programs, n_steps: dict.fromkeys(programs, 1.0))
  memory = {}
  init = batching._Memory.__init__

  def spy(self, analysis, images):
    init(self, analysis, images)
    memory["of"] = self.of

  monkeypatch.setattr(batching._Memory, "__init__", spy)
  assert train_sweep(path, *arguments, batching="vmap") == 0
  monkeypatch.setattr(batching, "_free_bytes", lambda: 2 * memory["of"](5, "vmap") + 1)
  capsys.readouterr()
  assert train_sweep(path, *arguments, batching="vmap") == 0
  assert "up to 10 at once by vmap" in capsys.readouterr().out  # On two devices.
  assert train_sweep(path, *arguments, "--members_at_once=17", batching="vmap") == 0
  assert "up to 17 at once by vmap" in capsys.readouterr().out
  monkeypatch.setattr(batching, "_free_bytes", lambda: 1000)
  assert train_sweep(path, *arguments, batching="vmap") == 2
  assert "lower --batch_size or --width" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("told", [None, 3])
def test_each_core_is_a_device_where_nothing_else_is_told(told):
  """Before JAX is used; in this process it has been, and nothing happens."""
  use_all_cores()
  program = "import jax; from experiments.host.environment import use_all_cores;"
  program += "use_all_cores(); print(jax.local_device_count())"
  flags = f"--xla_force_host_platform_device_count={told}" if told else ""
  shown = subprocess.run(
    [sys.executable, "-c", program],
    env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    capture_output=True,
    text=True,
    check=True,
  ).stdout
  assert int(shown) == (told or len(os.sched_getaffinity(0)))

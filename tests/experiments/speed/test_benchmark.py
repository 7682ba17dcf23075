"""The benchmark: what its figures are made of. No test compares seconds."""

import functools
import json
import subprocess
import sys

import jax
import pytest
from helpers.launching import launch

from experiments import benchmark
from experiments.speed import steps as benchmark_steps
from experiments.speed.processes import _PEAK, of_host
from experiments.speed.steps import count_flops, settings_of
from experiments.speed.turns import Spread, Timing, take_turns
from wgan_jax import make_training
from wgan_jax.convolution import columns
from wgan_jax.convolution import primitive as conv


@pytest.mark.slow
@pytest.mark.parametrize("penalty", ["gp", "none"])
@pytest.mark.parametrize("dataset", ["digits", "grid"])
def test_the_arithmetic_is_what_the_compiler_counts(dataset, penalty, monkeypatch):
  """Of direct convolutions; within a tenth, for it counts what is not a product too."""
  monkeypatch.setattr(conv, "choose_algorithm", lambda *_: columns)
  settings = settings_of(dataset, penalty=penalty, width=64, n_critic=1)
  training = make_training(settings.config(), settings.networks(), settings.load().sample_real)
  state = jax.eval_shape(training.init, jax.random.key(0), settings.hparams())
  program = jax.jit(training.step).lower(state, settings.hparams(), settings.load().train)
  analysis = program.compile().cost_analysis()
  assert 0.95 < analysis["flops"] / count_flops(settings) < 1.15


def test_turns_are_in_turn_and_the_first_is_apart():
  calls = []
  ways = {name: functools.partial(calls.append, name) for name in "ab"}
  timing = take_turns(ways, 3, {"a": 1, "b": 10})
  assert calls == ["a", "b"] * 4
  assert set(timing.first) == {"a", "b"}
  assert [len(timing.seconds[way]) for way in ways] == [3, 3]


def test_a_ratio_is_of_the_turns_of_one_round():
  timing = Timing({}, {"fast": [1.0, 10.0, 2.0], "slow": [2.0, 30.0, 4.0]})
  assert timing.times_faster("fast", than="slow") == Spread(2.0, 2.0, 3.0)
  assert timing.times_faster("fast", than="slow").scaled(0.5) == Spread(1.0, 1.0, 1.5)
  assert timing.best(["slow", "fast"]) == "fast"
  assert timing.milliseconds() == {"fast": 2000.0, "slow": 4000.0}


def test_a_group_of_ways_takes_their_sum():
  timing = Timing(
    {"a": 1.0, "b": 2.0, "c": 4.0}, {"a": [1.0, 2.0], "b": [3.0, 5.0], "c": [8.0, 7.0]}
  )
  together = timing.together({"ab": ["a", "b"], "c": ["c"]})
  assert together == Timing({"ab": 3.0, "c": 4.0}, {"ab": [4.0, 7.0], "c": [8.0, 7.0]})


def test_without_pytorch_the_rows_say_so(tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, "torch", None)
  monkeypatch.delitem(sys.modules, "experiments.speed.pytorch", raising=False)
  assert launch(benchmark, "--rows=toy_64", "--rounds=1", f"--workdir={tmp_path}") == 0
  assert "no PyTorch for this device: pip install -e '.[benchmark]'" in capsys.readouterr().out


@pytest.mark.slow
def test_a_row_is_printed_and_written(tmp_path, capsys):
  pytest.importorskip("torch", reason="PyTorch is in the extra `benchmark`")
  assert launch(benchmark, "--rows=toy_64", "--rounds=1", f"--workdir={tmp_path}") == 0
  assert "25 Gaussians, 3 x 64, against PyTorch eager" in capsys.readouterr().out
  (row,) = json.loads((tmp_path / "benchmark.json").read_text())["rows"]
  assert row["row"] == "toy_64"
  assert row["details"].keys() >= {"jax_ms", "pytorch_ms", "jax_first_turn_s"}


def test_the_hosts_share_is_of_what_comes_after_the_first_picture():
  """9 s and 1 s; of the latter a half measures."""
  line = {"step": 300, "chunk_seconds": 9.0, "host_seconds": 1.0, "measure_seconds": 0.5}
  row = of_host([line | {"step": 200, "host_seconds": 99.0}, line])
  assert row.value.median == 5.0


def test_a_process_is_not_charged_with_the_memory_of_this_one():
  """The tests hold JAX, a bare Python some 20 MB."""
  bare = [sys.executable, "-c", "pass"]
  done = subprocess.run([sys.executable, "-c", _PEAK, *bare], capture_output=True, check=True)
  assert int(done.stdout) * (1 if sys.platform == "darwin" else 1024) < 60e6


def test_the_native_row_is_of_native_convolutions(monkeypatch):
  seen = []

  def alone(settings, dataset, n_steps):
    return lambda: seen.append(conv.conv_general_dilated is jax.lax.conv_general_dilated)

  monkeypatch.setattr(benchmark_steps, "_alone", alone)
  benchmark_steps.against_native(settings_of("digits", width=2), 1, 1)
  assert seen == [False, True, False, True]
  layer = conv.conv(2, 4, 2)  # The layers look the function up when they are made.
  assert layer.conv_general_dilated is conv.conv_general_dilated


def test_members_without_their_row_are_refused(tmp_path, capsys):
  assert launch(benchmark, "--rows=toy_64", "--members=2", f"--workdir={tmp_path}") == 2
  assert "--members does nothing without --rows=members" in capsys.readouterr().err

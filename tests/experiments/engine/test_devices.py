"""Batches of a run and of a sweep over several devices, from the flag to the record."""

import json

import jax
import numpy as np
import pytest
from helpers import laying
from helpers.launching import copy_run, copy_sweep, train, train_sweep

from experiments.engine import planning
from experiments.engine.engine import Engine
from experiments.engine.folder import RunFolder
from experiments.host.errors import UserError
from experiments.spec.grid import Grid

pytestmark = pytest.mark.skipif(jax.device_count() < 2, reason="there is one device")


def figures(path):
  lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
  return np.array([[line[name] for name in sorted(line)] for line in lines])


def state_differences(path, other):
  """Of networks and the averaged generator, in units of the largest entry of each."""
  states = [RunFolder(each).restore()[1] for each in (path, other)]
  for part in ("critic_params", "generator_params", "ema"):
    yield laying.difference(*(getattr(state, part) for state in states))


@pytest.mark.campaign
def test_a_run_moves_from_one_device_to_two_and_back(tmp_path, capsys):
  whole, path = copy_run(tmp_path / "whole", "--steps=20"), tmp_path / "moved"
  for steps, n in ((6, 1), (14, 2), (20, 1)):
    assert train(path, f"--steps={steps}", f"--data_parallel={n}") == 0
    printed = capsys.readouterr()
    assert ("each batch over 2 of 2 devices" in printed.out) == (n == 2)
    # At the first start nothing changed.
    assert ("warning: data_parallel changed" in printed.err) == (steps > 6)
  np.testing.assert_allclose(figures(path), figures(whole), rtol=2e-5, atol=1e-6)
  assert max(state_differences(path, whole)) < 1e-6
  record = json.loads((path / "config.json").read_text())
  found = [record["environment"], *record["resumed_in"]]
  assert [each["data_parallel"] for each in found] == [1, 2, 1]


@pytest.mark.campaign
def test_members_of_a_sweep_may_share_devices_too(tmp_path):
  whole = copy_sweep(tmp_path / "whole", "--steps=6", "--penalty=gp", "--lambda_gp=1,10")
  path = tmp_path / "laid"
  arguments = ("--steps=6", "--penalty=gp", "--lambda_gp=1,10")
  assert train_sweep(path, *arguments, "--data_parallel=2") == 0
  for member in whole.glob("members/*"):
    laid = path / "members" / member.name
    np.testing.assert_allclose(figures(laid), figures(member), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--data_parallel=3"], "--data_parallel=3, but there are 2 devices: lower it"),
    (["--data_parallel=2", "--batch_size=5"], "does not divide 5 samples"),
    (["--data_parallel=2", "--generator_batch_size=3"], "does not divide 3 samples"),
    (["--data_parallel=2", "--micro_batches=4"], "does not divide 1 samples"),
    (["--micro_batches=3"], "--micro_batches=3 does not divide batch_size=4"),
    (["--micro_batches=2", "--rematerialize"], "--rematerialize does nothing with micro_batches"),
  ],
)
def test_devices_that_do_not_divide_are_refused(arguments, message, tmp_path, capsys):
  assert train(tmp_path / "run", "--steps=3", *arguments) == 2
  error = capsys.readouterr().err
  assert message in error
  assert error.count("\n") == 1
  assert not (tmp_path / "run").exists()


def test_a_run_alone_takes_as_many_accelerators_as_divide_its_batches(monkeypatch):
  def runs(n, **sizes):
    choices = {"loss": ("wasserstein",), "penalty": ("gp",)}
    return Grid("ring", choices | {name: (n,) for name, n in sizes.items()}).settings(range(n))

  monkeypatch.setattr(jax, "device_count", lambda: 8)
  assert planning.choose_data_parallel(None, runs(1, batch_size=24)) == 1
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  assert planning.choose_data_parallel(None, runs(1, batch_size=24)) == 8
  assert planning.choose_data_parallel(None, runs(1, batch_size=12)) == 6
  assert planning.choose_data_parallel(None, runs(1, batch_size=12, generator_batch_size=8)) == 4
  assert planning.choose_data_parallel(None, runs(2, batch_size=24)) == 1
  assert planning.choose_data_parallel(2, runs(2, batch_size=24)) == 2
  with pytest.raises(UserError, match="--data_parallel=3 does not divide 8 devices into groups"):
    planning.choose_data_parallel(3, runs(2, batch_size=24))


def test_a_run_alone_takes_equally_many_devices_of_each_process(monkeypatch):
  choices = {"loss": ("wasserstein",), "penalty": ("gp",), "batch_size": (24,)}
  run = Grid("ring", choices, 1).settings([0])
  monkeypatch.setattr(jax, "device_count", lambda: 8)
  monkeypatch.setattr(jax, "process_count", lambda: 4)
  assert planning.choose_data_parallel(None, run) == 4  # One core of each.
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  assert planning.choose_data_parallel(None, run) == 8
  with pytest.raises(UserError, match="--data_parallel=2 does not share out equally over 4 proc"):
    planning.choose_data_parallel(2, run)
  choices["batch_size"] = (6,)
  with pytest.raises(UserError, match="--data_parallel=4 does not divide 6 samples"):
    planning.choose_data_parallel(None, Grid("ring", choices, 1).settings([0]))


@pytest.mark.campaign
def test_out_of_memory_is_one_line_that_names_what_to_change(tmp_path, monkeypatch, capsys):
  assert train(tmp_path / "run", "--steps=2") == 0
  capsys.readouterr()

  def no_room(*args, **kwargs):
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

  monkeypatch.setattr(Engine, "chunk", no_room)
  assert train(tmp_path / "run", "--steps=4") == 2
  error = capsys.readouterr().err
  assert error == (
    "error: out of memory: lower --batch_size, --width, raise --micro_batches, or add"
    " --rematerialize\n"
  )
  monkeypatch.undo()
  assert train(tmp_path / "run", "--steps=4") == 0

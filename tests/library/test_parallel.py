"""Batches and members over devices: the numbers of one device, and no batch that is gathered."""

import json
import os
import pathlib
import subprocess
import sys

import chex
import jax
import numpy as np
import pytest
from helpers import laying
from helpers.laying import CASES, case, compare

import wgan_jax
from wgan_jax import Config
from wgan_jax.parallel import BATCH, MEMBERS, batch_devices, check_batch, make_mesh, share_samples

QUICK = {"xla_backend_optimization_level": 0}
two_devices = pytest.mark.skipif(jax.device_count() < 2, reason="there is one device")


@two_devices
def test_a_batch_over_two_devices_trains_as_on_one_and_is_never_gathered():
  """Batch normalisation and the averaged generator included."""
  problem = case("wasserstein", "gp")
  mesh = make_mesh(jax.devices()[:2], 2)
  laid, program = laying.train(*problem, mesh=mesh, options=QUICK)
  alone, _ = laying.train(*problem, options=QUICK)
  for part in ("critic_params", "generator_params", "batch_stats", "ema"):
    assert laying.difference(getattr(laid, part), getattr(alone, part)) < 1e-6
  assert "all-reduce" in program
  assert "all-gather" not in program


@pytest.mark.campaign
@two_devices
def test_a_mean_of_other_samples_is_that_of_the_whole_batch():
  assert compare(("relativistic_average", "gp"), make_mesh(jax.devices()[:2], 2), 1, QUICK) < 1e-6


@two_devices
def test_members_and_batches_each_have_their_axis():
  mesh = make_mesh(jax.devices()[:2], 1)
  assert (mesh.shape[MEMBERS], mesh.shape[BATCH], batch_devices(mesh)) == (2, 1, 1)
  mesh = make_mesh(jax.devices()[:2], 2)
  assert (mesh.shape[MEMBERS], mesh.shape[BATCH], batch_devices(mesh)) == (1, 2, 2)


@pytest.mark.campaign
def test_a_mesh_of_one_device_changes_no_bit():
  problem = case("wasserstein", "clip")
  mesh = make_mesh(jax.devices()[:1])
  laid, alone = (laying.train(*problem, mesh=m, n_steps=2, options=QUICK)[0] for m in (mesh, None))
  chex.assert_trees_all_equal(laid, alone)


def test_samples_stay_as_they_are_without_a_mesh():
  x = np.ones(3)
  assert share_samples(None, x) is x
  assert share_samples(make_mesh(jax.devices()[:1]), x) is x


@two_devices
def test_what_does_not_share_out_is_refused():
  with pytest.raises(ValueError, match="2 devices do not make groups of n_batch=3"):
    make_mesh(jax.devices()[:2], 3)
  mesh = make_mesh(jax.devices()[:2], 2)
  check_batch(mesh, 4, "n")
  with pytest.raises(ValueError, match="n=3 does not share out equally over 2 devices"):
    check_batch(mesh, 3, "n")
  _, pair, sample_real, _ = case("hinge", "gp")
  for name in ("batch_size", "generator_batch_size"):
    config = Config(**{"batch_size": 4} | {name: 3})
    with pytest.raises(ValueError, match=rf"Config.{name}=3 does not share out"):
      wgan_jax.make_training(config, pair, sample_real, mesh=mesh)


@pytest.mark.campaign
@pytest.mark.parametrize(("x64", "most"), [("0", 1e-6), ("1", 1e-12)])
@pytest.mark.parametrize("layout", ["1 2 1", "1 4 1", "2 2 1", "1 2 2", "1 4 2", "2 2 2"])
def test_every_loss_and_penalty_on_several_devices_and_processes(layout, x64, most):
  environment = os.environ | {"JAX_ENABLE_X64": x64, "XLA_FLAGS": ""}
  environment["PYTHONPATH"] = str(pathlib.Path(wgan_jax.__file__).parents[1])
  command = [sys.executable, laying.__file__, *layout.split()]
  printed = subprocess.check_output(command, env=environment, text=True)
  differences = json.loads(printed)
  assert len(differences) == len(CASES)
  assert max(differences.values()) < most, differences

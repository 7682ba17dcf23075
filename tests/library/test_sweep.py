"""Many runs as one program: each member is the run alone, and none feels another."""

import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.problems import points, points_pair, sample_points

import wgan_jax
from wgan_jax import Config, Hparams
from wgan_jax.data.images import load_images, sample_images
from wgan_jax.networks.dcgan import dcgan
from wgan_jax.networks.mlp import mlp
from wgan_jax.parallel import make_mesh
from wgan_jax.sweep import BATCHING, Members, Sweep, advance, make_sweep

NETWORKS = {
  "mlp": lambda: mlp((28, 28, 1), latent_dim=8, width=32, output=jnp.tanh),
  "dcgan": lambda: dcgan((28, 28, 1), latent_dim=8, width=8),
  "tiny_mlp": lambda: mlp((8, 8, 1), latent_dim=4, width=16, output=jnp.tanh),
}
# Two seeds, three settings.
KEYS = jax.random.split(jax.random.key(4), 2)[jnp.array([0, 0, 0, 1, 1, 1])]
HPARAMS = Hparams(
  learning_rate=jnp.tile(jnp.array([1e-4, 2e-4, 5e-5]), 2),
  beta1=jnp.full(6, 0.5),
  beta2=jnp.full(6, 0.9),
  lambda_gp=jnp.tile(jnp.array([10.0, 1.0, 0.1]), 2),
  clip_value=jnp.tile(jnp.array([0.01, 0.1, 0.001]), 2),
  decay_steps=jnp.zeros(6),
  critic_learning_rate=jnp.tile(jnp.array([1e-4, 1e-4, 4e-4]), 2),
  ema_half_life=jnp.tile(jnp.array([0.0, 32.0, 64.0]), 2),
)


def member(tree, i):
  return jax.tree.map(lambda leaf: leaf[i], tree)


def largest_difference(a, b):
  """The largest of max |a - b| / max |b| over the leaves."""
  differences = jax.tree.map(lambda x, y: jnp.max(jnp.abs(x - y)) / jnp.max(jnp.abs(y)), a, b)
  return max(map(float, jax.tree.leaves(differences)), default=0.0)


def bits(tree):
  """The bytes of every leaf."""
  tree = jax.tree.map(
    lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x, tree
  )
  return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def gradients(state):
  return state.critic_opt_state[0].mu, state.generator_opt_state[0].mu


def digits(networks):
  """Training images, cropped for the tiny network."""
  images = jnp.asarray(load_images("digits", None).train_images)
  return images[:, 10:18, 10:18] if networks == "tiny_mlp" else images


CASES = [
  ("tiny_mlp", "gp", "map"),
  ("tiny_mlp", "clip", "vmap"),
  *itertools.product(("mlp", "dcgan"), ("gp", "clip"), BATCHING),
]


@pytest.mark.campaign  # The short suite compares launches: tests/experiments/test_sweep.py.
@pytest.mark.parametrize(("networks", "penalty", "batching"), CASES)
def test_a_member_is_the_run_alone(networks, penalty, batching):
  """After 20 steps from (seed, hyperparameters); and one more step, from states that are equal."""
  config = Config(penalty=penalty, n_critic=2, batch_size=16)
  training = wgan_jax.make_training(config, NETWORKS[networks](), sample_images)
  images = digits(networks)
  sweep = make_sweep(training, 20, batching=batching, mesh=make_mesh(jax.devices()[:2]))
  chunk, solo_chunk = jax.jit(sweep.chunk), jax.jit(wgan_jax.make_chunk(training.step, 20))
  solo_init = jax.jit(training.init)

  members, info = chunk(jax.jit(sweep.init)(KEYS, HPARAMS), HPARAMS, images, 20)
  assert members.alive.all()
  assert info.finite.all()
  solos = []
  for i in range(6):
    hparams, mine = member(HPARAMS, i), member(members, i)
    solo, solo_info = solo_chunk(solo_init(KEYS[i], hparams), hparams, images, 20)
    chex.assert_trees_all_equal((mine.state.step, mine.state.key), (solo.step, solo.key))
    if batching == "map":
      assert bits(mine.state) == bits(solo)
      assert bits(member(info, i)) == bits(solo_info)
    for name in ("critic_params", "generator_params", "batch_stats"):
      assert largest_difference(getattr(mine.state, name), getattr(solo, name)) < 1e-3, name
    np.testing.assert_allclose(info.estimate[i], solo_info.estimate, rtol=1e-3, atol=1e-4)
    solos.append(solo)

  # beta1 = 0 leaves the gradient itself in Adam's first moment.
  hparams = HPARAMS._replace(beta1=jnp.zeros(6))
  states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *solos)
  members, _ = chunk(Members(states, jnp.ones(6, bool)), hparams, images, 1)
  for i, solo in enumerate(solos):
    solo, _ = solo_chunk(solo, member(hparams, i), images, 1)
    assert largest_difference(gradients(member(members.state, i)), gradients(solo)) < 1e-5


@pytest.mark.campaign
@pytest.mark.parametrize("networks", ["tiny_mlp", "mlp", "dcgan"])
def test_a_vmapped_member_is_the_run_alone_but_for_rounding(networks):
  """In float64 nothing that a step amplifies is large enough to be seen."""
  with jax.enable_x64(True):

    def to_64(tree):
      return jax.tree.map(lambda x: jnp.float64(x) if x.dtype == jnp.float32 else x, tree)

    def sample_real(*args):
      return to_64(sample_images(*args))

    training = wgan_jax.make_training(Config(batch_size=16), NETWORKS[networks](), sample_real)
    images = digits(networks)
    sweep, hparams = make_sweep(training, 20, batching="vmap"), to_64(HPARAMS)
    members = jax.jit(sweep.init)(KEYS, HPARAMS)
    start = to_64(members.state)
    members, _ = jax.jit(sweep.chunk)(Members(start, members.alive), hparams, images, 20)
    solo_chunk = jax.jit(wgan_jax.make_chunk(training.step, 20))
    for i in (0, 5):
      solo, _ = solo_chunk(member(start, i), member(hparams, i), images, 20)
      mine = member(members.state, i)
      for name in ("critic_params", "generator_params", "batch_stats"):
        assert largest_difference(getattr(mine, name), getattr(solo, name)) < 1e-9, name


# Compiling is most of the time of what follows, and rounding no subject.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def tiny_sweep(batching, n_devices=None):
  """A sweep of points, its `init` and `chunk` jitted once for all tests."""
  config = Config(batch_size=4, n_critic=2)
  training = wgan_jax.make_training(config, points_pair(depth=1), sample_points)
  mesh = n_devices and make_mesh(jax.devices()[:n_devices])
  sweep = make_sweep(training, 10, batching=batching, mesh=mesh)
  return Sweep(jit(sweep.init), jit(sweep.chunk))


def rates(*values):
  fill = jnp.zeros(len(values))
  defaults = Hparams(0.0, clip_value=0.0)
  hparams = jax.tree.map(lambda value: fill + value, defaults)._replace(
    learning_rate=jnp.array(values)
  )
  return jax.random.split(jax.random.key(2), len(values)), hparams


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.campaign)])
@pytest.mark.parametrize("batching", BATCHING)
def test_a_diverged_member_leaves_its_neighbours_bytes_alone(batching, devices):
  sweep = tiny_sweep(batching, devices)

  def run(keys, hparams):
    return sweep.chunk(sweep.init(keys, hparams), hparams, points(), 9)

  with_one, info = run(*rates(1e-2, 1e-3, jnp.inf, 1e-2))
  without, _ = run(*rates(1e-2, 1e-3, 1e-2, 1e-2))
  assert with_one.alive.tolist() == [True, True, False, True]
  assert info.finite[:, :9].all(axis=1).tolist() == [True, True, False, True]
  for i in (0, 1, 3):
    assert bits(member(with_one, i)) == bits(member(without, i))
  assert bits(member(with_one, 2)) != bits(member(without, 2))


@pytest.mark.campaign
@pytest.mark.parametrize("batching", ["map", "vmap"])
def test_a_diverged_member_keeps_its_last_finite_state_for_good(batching):
  """Data that turn infinite at step 3, and finite again at step 5."""

  def sample_real(key, data, batch_size):
    return jnp.broadcast_to(data, (batch_size, 2))

  config = Config(batch_size=4, n_critic=2)
  training = wgan_jax.make_training(config, points_pair(depth=1), sample_real)
  chunk = jit(make_sweep(training, 10, batching=batching).chunk)
  keys, hparams = rates(1e-2, 1e-3)
  good, bad = jnp.ones((1, 2)), jnp.full((1, 2), jnp.inf)
  members = tiny_sweep(batching).init(keys, hparams)
  before, _ = advance(chunk, members, hparams, good, 3)
  after, info = advance(chunk, before, hparams, bad, 2)
  assert not info.finite.any()
  assert not after.alive.any()
  chex.assert_tree_all_finite(after.state.critic_params)
  later, info = advance(chunk, after, hparams, good, 4)
  assert not info.finite.any()
  for i in range(2):
    assert bits(member(later.state, i)) == bits(member(before.state, i))
    assert later.state.step[i] == 3


@pytest.mark.device
@pytest.mark.parametrize("batching", BATCHING)
def test_chunks_compose_bitwise_and_compile_once(batching):
  config = Config(batch_size=4, n_critic=2)
  training = wgan_jax.make_training(config, points_pair(depth=1), sample_points)
  keys, hparams = rates(1e-2, 1e-3, 1e-4)
  chex.clear_trace_counter()
  sweep = make_sweep(training, 10, batching=batching)
  chunk = jit(chex.assert_max_traces(sweep.chunk, n=1))
  start = tiny_sweep(batching).init(keys, hparams)
  whole, info = chunk(start, hparams, points(), 7)
  part, first = chunk(start, hparams, points(), 3)
  part, second = chunk(part, hparams, points(), 4)
  assert [bits(member(whole, i)) for i in range(3)] == [bits(member(part, i)) for i in range(3)]
  joined = jnp.concatenate([first.critic_loss[:, :3], second.critic_loss[:, :4]], axis=1)
  np.testing.assert_array_equal(info.critic_loss[:, :7], joined)


@pytest.mark.device
def test_one_member_is_a_sweep():
  sweep = tiny_sweep("vmap")
  keys, hparams = rates(1e-2)
  members, info = sweep.chunk(sweep.init(keys, hparams), hparams, points(), 2)
  assert members.state.step.tolist() == [2]
  assert info.estimate.shape == (1, 10)


def test_refuses_what_it_cannot_lay_out():
  with pytest.raises(ValueError, match="batching must be one of vmap, map, got 'loop'"):
    tiny_sweep("loop")
  if jax.device_count() < 2:
    pytest.skip("there is one device")
  sweep = tiny_sweep("vmap", 2)
  with pytest.raises(ValueError, match="3 members do not share out equally over 2 devices"):
    sweep.init(*rates(1e-2, 1e-2, 1e-2))

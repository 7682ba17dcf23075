"""A state in one file: every bit comes back, and nothing else is taken for it."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.problems import points, points_pair, sample_points

import wgan_jax
from wgan_jax.saving import without_keys

HPARAMS = wgan_jax.Hparams(learning_rate=1e-2)
TRAINING = wgan_jax.make_training(
  wgan_jax.Config(batch_size=4, n_critic=1), points_pair(depth=1), sample_points
)


@pytest.fixture(scope="module")
def state():
  start = TRAINING.init(jax.random.key(3), HPARAMS)
  return jax.jit(TRAINING.step)(start, HPARAMS, points())[0]


def test_a_state_comes_back_and_trains_on(state, tmp_path):
  path = tmp_path / "state.msgpack"
  wgan_jax.save_state(path, state)
  assert [child.name for child in tmp_path.iterdir()] == [path.name]
  back = wgan_jax.load_state(path, jax.eval_shape(TRAINING.init, jax.random.key(0), HPARAMS))
  chex.assert_trees_all_equal(without_keys(back), without_keys(state))
  chex.assert_trees_all_equal_dtypes(back, state)
  step = jax.jit(TRAINING.step)
  ours, theirs = (step(each, HPARAMS, points())[0] for each in (back, state))
  chex.assert_trees_all_equal(without_keys(ours), without_keys(theirs))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_keys_and_half_precision_come_back(tmp_path, impl):
  tree = {"key": jax.random.key(5, impl=impl), "w": jnp.arange(3, dtype=jnp.bfloat16)}
  wgan_jax.save_state(tmp_path / "tree", tree)
  back = wgan_jax.load_state(tmp_path / "tree", tree)
  assert jax.random.key_impl(back["key"]) == jax.random.key_impl(tree["key"])
  chex.assert_trees_all_equal(without_keys(back), without_keys(tree))


def test_what_is_no_such_state_is_refused(state, tmp_path):
  path = tmp_path / "state.msgpack"
  wgan_jax.save_state(path, state)
  content = path.read_bytes()
  others = [{"w": jnp.ones(2)}, state._replace(step=jnp.zeros(2, jnp.int32))]
  others.append(jax.tree.map(lambda x: x, state)._replace(step=jnp.zeros((), jnp.float32)))
  for like in others:
    with pytest.raises(ValueError, match=r"state\.msgpack: damaged, or of another structure"):
      wgan_jax.load_state(path, like)
  for damaged in (b"", content[:-7], b"\xc1" + content, np.random.default_rng(0).bytes(99)):
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="damaged"):
      wgan_jax.load_state(path, state)


def test_a_file_that_cannot_be_replaced_stays(state, tmp_path):
  path = tmp_path / "state.msgpack"
  wgan_jax.save_state(path, {"w": jnp.ones(2)})
  before = path.read_bytes()
  with pytest.raises(AttributeError):
    wgan_jax.save_state(path, {"w": jnp.ones(2), "of": object()})
  assert path.read_bytes() == before
  assert [child.name for child in tmp_path.iterdir()] == [path.name]

"""A batch in parts: the numbers of the whole batch, in less memory."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import laying
from helpers.compiling import jit
from helpers.laying import case, difference

import wgan_jax
from wgan_jax import Config
from wgan_jax.memory import check_parts, generate_in_parts, in_parts
from wgan_jax.networks.dcgan import dcgan
from wgan_jax.parallel import make_mesh


def test_values_and_gradients_of_samples_keep_their_order():
  x = jnp.arange(12.0).reshape(6, 2)

  def total(scale, function):
    return jnp.sum(jnp.arange(6.0) * function(scale)(x))

  def score(scale):
    return jax.vmap(lambda each: scale * jnp.sum(each**2))

  def parts(scale):
    return in_parts(score(scale), 3)

  chex.assert_trees_all_close(parts(2.0)(x), score(2.0)(x))
  ours, whole = (jax.value_and_grad(total)(2.0, each) for each in (parts, score))
  chex.assert_trees_all_close(ours, whole)
  assert in_parts(score, 1) is score


def trained(method, options=None, **choices):
  config, *problem = case(*method)
  config = Config(**vars(config) | choices)
  return laying.train(config, *problem, n_steps=3, options=options)[0]


METHODS = [("relativistic_average", "gp")]
REST = [each for each in laying.CASES if each not in METHODS and each[1] != "clip"]
REST.remove(("wasserstein", "gp"))  # Of networks with batch normalisation.


@pytest.mark.parametrize(
  "method", [*METHODS, *(pytest.param(each, marks=pytest.mark.campaign) for each in REST)]
)
def test_parts_train_as_the_whole_batch(method):
  """Also a loss that compares each sample with the mean of all others."""
  options = {"xla_backend_optimization_level": 0}
  parts, whole = (trained(method, options, micro_batches=n) for n in (4, 1))
  for part in ("critic_params", "generator_params", "ema"):
    assert difference(getattr(parts, part), getattr(whole, part)) < 1e-6


@pytest.mark.parametrize(
  "method",
  [
    *METHODS,
    *(pytest.param(m, marks=pytest.mark.campaign) for m in [("wasserstein", "gp"), *REST]),
  ],
)
def test_rematerialisation_trains_as_without(method):
  """Batch normalisation included, which sees the whole batch."""
  options = {"xla_backend_optimization_level": 0, "xla_disable_hlo_passes": "cse_barrier_expander"}
  again, kept = (trained(method, options, rematerialize=each) for each in (True, False))
  for part in ("critic_params", "generator_params", "batch_stats", "ema"):
    if jax.tree.leaves(getattr(kept, part)):
      assert difference(getattr(again, part), getattr(kept, part)) < 1e-6


def test_batch_normalisation_sees_one_part():
  pair = dcgan((16, 16, 1), latent_dim=4, width=2)
  params, stats = jit(pair.generator.init)(jax.random.key(0))
  latents = jax.random.normal(jax.random.key(1), (6, 4))
  draw = jit(lambda z: generate_in_parts(pair.generator, 3).apply(params, stats, z, train=True))
  alone = jit(lambda z: pair.generator.apply(params, stats, z, train=True))
  samples, moved = draw(latents)
  found = [alone(latents[i::3]) for i in range(3)]
  for i, (part, _) in enumerate(found):
    np.testing.assert_allclose(samples[i::3], part, atol=1e-5)
  mean = jax.tree.map(lambda *each: sum(each) / 3, *(stats for _, stats in found))
  chex.assert_trees_all_close(moved, mean, atol=1e-5)


@pytest.mark.campaign
def test_four_parts_need_less_than_half_the_memory():
  """By the compiler's account; .30 of it at width 64."""

  assert peak(micro_batches=4) < 0.5 * peak()


@pytest.mark.campaign
def test_rematerialisation_needs_less_memory():
  """By the compiler's account; .68 at width 64."""
  assert peak(rematerialize=True) < 0.85 * peak()


def peak(**choices):
  """The memory that a step on 16 images takes besides its arguments, in bytes."""
  config = Config(batch_size=16, n_critic=1, **choices)
  pair = dcgan((16, 16, 1), latent_dim=4, width=16)
  training = wgan_jax.make_training(
    config, pair, lambda key, data, n: jax.random.uniform(key, (n, 16, 16, 1))
  )
  hparams = wgan_jax.Hparams()
  state = jax.eval_shape(training.init, jax.random.key(0), hparams)
  options = {"xla_backend_optimization_level": 0, "xla_disable_hlo_passes": "cse_barrier_expander"}
  compiled = jax.jit(training.step).lower(state, hparams, None).compile(options)
  return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.skipif(jax.device_count() < 2, reason="there is one device")
def test_parts_that_do_not_divide_are_refused():
  with pytest.raises(ValueError, match=r"micro_batches=3 does not divide Config.batch_size=4"):
    Config(batch_size=4, micro_batches=3)
  with pytest.raises(ValueError, match=r"does not divide Config.generator_batch_size=6"):
    Config(batch_size=4, generator_batch_size=6, micro_batches=4)
  check_parts(4, 2, "batch_size")
  config, pair, sample_real, _ = case("hinge", "gp")
  config = Config(batch_size=4, micro_batches=4)
  with pytest.raises(ValueError, match=r"Config.micro_batches=1 does not share out"):
    wgan_jax.make_training(config, pair, sample_real, mesh=make_mesh(jax.devices()[:2], 2))

"""Mixed precision: what is computed in bfloat16, and what is not."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.problems import points, sample_points

from wgan_jax import Config, Hparams, gradient_norms, gradient_penalty, make_training
from wgan_jax.networks import dcgan
from wgan_jax.networks.mlp import mlp
from wgan_jax.precision import compute_in
from wgan_jax.types import Network

KEY = jax.random.key(0)
# Compiling is most of the time here, and the last bits are no subject.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def test_float32_changes_nothing():
  pair = mlp((2,), latent_dim=2, width=4, depth=1)
  assert compute_in(pair, "float32") is pair


@pytest.mark.device
def test_products_are_in_bfloat16_and_what_comes_out_is_not():
  pair = compute_in(dcgan((16, 16, 1), latent_dim=3, width=2), "bfloat16")
  params, batch_stats = jax.eval_shape(pair.generator.init, KEY)
  critic_params = jax.eval_shape(pair.critic.init, KEY)
  generate = functools.partial(pair.generator.apply, train=True)
  latents = jax.ShapeDtypeStruct((4, 3), jnp.float32)
  samples, moved = jax.eval_shape(generate, params, batch_stats, latents)
  chex.assert_trees_all_equal_shapes_and_dtypes(moved, batch_stats)
  chex.assert_type(samples, jnp.float32)

  def norms(critic_params, x):
    return gradient_norms(lambda x: pair.critic.apply(critic_params, x), x).sum()

  value, gradients = jax.eval_shape(jax.value_and_grad(norms), critic_params, samples)
  chex.assert_type(value, jnp.float32)
  chex.assert_trees_all_equal_shapes_and_dtypes(gradients, critic_params)
  for program in (
    jax.make_jaxpr(generate)(params, batch_stats, latents),
    jax.make_jaxpr(jax.grad(norms))(critic_params, samples),
  ):
    products = [line for line in str(program).splitlines() if " dot_general[" in line]
    assert products
    assert all(":bf16[" in line.split(" = ")[0] for line in products), products


@pytest.mark.device
def test_the_penalty_is_that_of_float32_to_its_few_digits():
  pair = mlp((2,), latent_dim=2, width=64, depth=3)
  params = jax.tree.map(lambda leaf: 1.5 * leaf, jit(pair.critic.init)(KEY))
  real, fake = points(256), points(256)[::-1] - 1

  def penalty(dtype):
    critic = compute_in(pair, dtype).critic
    return jit(gradient_penalty, static_argnums=1)(
      KEY, lambda x: critic.apply(params, x), real, fake
    )

  exact, rounded = penalty("float32"), penalty("bfloat16")
  assert exact != rounded
  np.testing.assert_allclose(rounded, exact, rtol=0.02)


def test_a_generator_without_parameters_is_data_and_stays_exact():
  given = Network(lambda key: ({}, {}), lambda params, stats, z, *, train: (z * 1.001, stats))
  pair = mlp((2,), latent_dim=2, width=4, depth=1)._replace(generator=given)
  latents = points(8)
  samples, _ = compute_in(pair, "bfloat16").generator.apply({}, {}, latents, train=True)
  np.testing.assert_array_equal(samples, latents * 1.001)


@pytest.mark.campaign
def test_training_in_bfloat16_learns_where_the_data_is_with_a_float32_state():
  pair = mlp((2,), latent_dim=2, width=32, depth=2)
  init, step = make_training(Config(compute_dtype="bfloat16"), pair, sample_points)
  hparams = Hparams(learning_rate=2e-3, lambda_gp=0.1, decay_steps=400)
  state = jit(init)(KEY, hparams)
  assert " = dot_general[" in (program := str(jax.make_jaxpr(step)(state, hparams, points(256))))
  assert all(":bf16[" in line for line in program.splitlines() if " = dot_general[" in line)
  step, data = jax.jit(step), points(256)
  like = jax.eval_shape(lambda: state)
  for _ in range(400):
    state, info = step(state, hparams, data)
  chex.assert_trees_all_equal_shapes_and_dtypes(state, like)
  assert info.finite
  samples, _ = pair.generator.apply(state.generator_params, {}, points(256) - 2, train=False)
  np.testing.assert_allclose(samples.mean(0), points(256).mean(0), atol=0.3)

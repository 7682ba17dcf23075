"""The family of pairs and the exercise's: sizes, normalisations, and every pixel seen."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import jit
from helpers.problems import draw_like

from wgan_jax.networks import ACTIVATIONS, exercise, smooth_elu, variant

KEY = jax.random.key(0)
SHAPE = (28, 28, 1)
IMAGE = np.random.default_rng(0).uniform(-1, 1, SHAPE).astype(np.float32)


def make(**changes):
  choices = {"activation": "leaky_relu", "depth": 2, "width": 2, "batch_norm": True}
  return variant(SHAPE, latent_dim=3, **{**choices, "layer_norm": True, **changes})


def n_layers(params, kind):
  return sum(name.startswith(kind) for name in params)


def test_smooth_elu_is_smooth_and_near_elu():
  second = jit(jax.vmap(jax.grad(jax.grad(smooth_elu))))
  x = jnp.linspace(-3, 3, 6001)
  # The third derivative is at most 4 / (6 sqrt 3) = 0.385.
  assert float(jnp.abs(jnp.diff(second(x))).max()) < 0.39e-3
  np.testing.assert_allclose(second(jnp.array([-1.0, 0.0])), [0.5, 2 * 0.8808 * 0.1192], rtol=1e-3)
  assert float(jnp.abs(smooth_elu(x) - jax.nn.elu(x)).max()) < 0.35
  assert float(smooth_elu(jnp.float32(-30.0))) == -1
  # ELU's second derivative jumps from 1 to 0.
  jump = jax.vmap(jax.grad(jax.grad(jax.nn.elu)))(jnp.array([-1e-4, 1e-4]))
  np.testing.assert_allclose(jump, [1, 0], atol=1e-3)


def test_activations_are_one_lipschitz():
  x = jnp.linspace(-5, 5, 1001)
  for name, function in ACTIVATIONS.items():
    assert float(jnp.abs(jit(jax.vmap(jax.grad(function)))(x)).max()) <= 1 + 1e-6, name


@pytest.mark.parametrize(("depth", "layer_norm"), [(2, True), (4, False), (6, True)])
def test_depth_and_normalisations(depth, layer_norm):
  pair = make(depth=depth, layer_norm=layer_norm, batch_norm=not layer_norm)
  params = jax.eval_shape(pair.critic.init, KEY)
  assert n_layers(params, "Conv") == depth
  assert n_layers(params, "LayerNorm") == (depth - 1 if layer_norm else 0)
  generator_params, stats = jax.eval_shape(pair.generator.init, KEY)
  assert n_layers(generator_params, "Conv") == depth
  assert n_layers(stats, "BatchNorm") == (0 if layer_norm else depth)
  # A layer has a bias if no batch normalisation follows: the last one, or all.
  biases = sum("bias" in layer for name, layer in generator_params.items() if name[0] in "CD")
  assert biases == (depth + 1 if layer_norm else 1)
  samples, _ = jax.eval_shape(
    functools.partial(pair.generator.apply, train=True), generator_params, stats, jnp.zeros((5, 3))
  )
  assert samples.shape == (5, *SHAPE)


@pytest.mark.parametrize(
  "critic", [make(activation="tanh").critic, exercise(latent_dim=3, width=2)[0]]
)
def test_every_pixel_counts(critic):
  params = draw_like(jax.eval_shape(critic.init, KEY))
  score, gradient = jit(jax.value_and_grad(critic.apply, argnums=1))(params, IMAGE)
  chex.assert_shape(score, ())
  assert (gradient != 0).all()


def test_layer_normalisation_is_of_a_whole_sample():
  """What follows it does not see the scale of what comes before: two layers of a linear network."""
  critic = make(activation="relu").critic
  params = draw_like(jax.eval_shape(critic.init, KEY))
  scaled = params | {"Conv_1": jax.tree.map(lambda leaf: 100 * leaf, params["Conv_1"])}
  apply = jit(critic.apply)
  expected = apply(params, IMAGE)
  chex.assert_trees_all_close(apply(scaled, IMAGE), expected, rtol=1e-3)
  assert abs(float(expected)) > 1e-3


def test_unknown_choices_are_refused():
  for changes, message in [
    ({"activation": "step"}, "activation must be one of relu"),
    ({"depth": 3}, "even"),
    ({"depth": 0}, "at least 2"),
  ]:
    with pytest.raises(ValueError, match=message):
      make(**changes)
  with pytest.raises(ValueError, match="multiples of 4"):
    variant(
      (30, 28, 1),
      latent_dim=3,
      activation="relu",
      depth=2,
      width=2,
      batch_norm=True,
      layer_norm=True,
    )


def scales_of(generator):
  """-> the initial scales of the normalisations; nothing else is compiled."""
  return jit(lambda key: [generator.init(key)[0][f"BatchNorm_{i}"]["scale"] for i in range(3)])(KEY)


def test_the_exercise():
  """Its channels and kernels, 28 x 28 pixels without padding, and where its scales start."""
  pair = exercise(latent_dim=64, width=64, scale_mean=0.0)
  params, stats = jax.eval_shape(pair.generator.init, KEY)
  shapes = [params[f"Conv_{i}"]["kernel"].shape for i in range(4)]
  assert shapes == [(3, 3, 64, 256), (4, 4, 256, 128), (3, 3, 128, 64), (4, 4, 64, 1)]
  assert [stats[f"BatchNorm_{i}"]["mean"].shape for i in range(3)] == [(256,), (128,), (64,)]
  critic = jax.eval_shape(pair.critic.init, KEY)
  shapes = [critic[f"Conv_{i}"]["kernel"].shape for i in range(3)]
  assert shapes == [(4, 4, 1, 64), (4, 4, 64, 128), (4, 4, 128, 1)]
  for scale_mean in (0.0, 1.0):
    pair = exercise(latent_dim=3, width=4, scale_mean=scale_mean)
    params, stats = jax.eval_shape(pair.generator.init, KEY)
    scales = np.concatenate(scales_of(pair.generator))
    assert abs(scales.mean() - scale_mean) < 5 * 0.02 / scales.size**0.5
    generate = functools.partial(pair.generator.apply, train=True)
    samples, _ = jax.eval_shape(generate, params, stats, jnp.zeros((2, 3)))
    assert samples.shape == (2, *SHAPE)

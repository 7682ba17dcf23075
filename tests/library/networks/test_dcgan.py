"""The convolutional pair: its start, statistics and second order, and that it lowers everywhere."""

import functools

import chex
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import jit
from helpers.problems import draw_like
from jax.flatten_util import ravel_pytree

import wgan_jax
from wgan_jax.data.images import sample_images
from wgan_jax.layers import apply_layers
from wgan_jax.networks import dcgan

KEY = jax.random.key(0)
SHAPE = (28, 28, 1)


@pytest.fixture(scope="module")
def pair():
  return dcgan(SHAPE, latent_dim=8, width=8)


@pytest.fixture(scope="module")
def critic_params(pair):
  return draw_like(jax.eval_shape(pair.critic.init, KEY))


@pytest.fixture(scope="module")
def generator_variables(pair):
  params, stats = jax.eval_shape(pair.generator.init, KEY)
  return draw_like(params), jax.tree.map(lambda x: jnp.ones(x.shape), stats)


@pytest.fixture(scope="module")
def generate(pair):
  return jit(pair.generator.apply, static_argnames="train")


def test_the_score_is_one_number_of_any_size(pair, critic_params):
  """A linear last layer: its weights scaled, the score is scaled. No sigmoid bounds it."""
  image = jax.random.uniform(KEY, SHAPE)
  last = critic_params["Dense_0"]
  scaled = critic_params | {"Dense_0": jax.tree.map(lambda leaf: 1e6 * leaf, last)}
  apply = jit(pair.critic.apply)
  score = apply(critic_params, image)
  chex.assert_shape(score, ())
  chex.assert_trees_all_close(apply(scaled, image), 1e6 * score, rtol=1e-4)
  assert abs(apply(scaled, image)) > 1


def test_the_critic_has_no_batch_statistics(critic_params):
  names = {jax.tree_util.keystr(path) for path, _ in ravel_paths(critic_params)}
  assert names == {
    f"['{layer}']['{leaf}']"
    for layer in ("Conv_0", "Conv_1", "Dense_0")
    for leaf in ("kernel", "bias")
  }


def test_without_normalisation():
  """Every layer has a bias, there are no statistics, and a sample does not depend on its batch."""
  generator = dcgan(SHAPE, latent_dim=8, width=8, batch_norm=False).generator
  generate = jit(generator.apply, static_argnames="train")
  params, batch_stats = jit(generator.init)(KEY)
  assert batch_stats == {}
  names = {jax.tree_util.keystr(path) for path, _ in ravel_paths(params)}
  assert names == {
    f"['{layer}']['{leaf}']"
    for layer in ("Dense_0", "Conv_0", "Conv_1")
    for leaf in ("kernel", "bias")
  }
  latents = jax.random.normal(KEY, (5, 8))
  samples, batch_stats = generate(params, {}, latents, train=True)
  assert batch_stats == {}
  chex.assert_shape(samples, (5, *SHAPE))
  others, _ = generate(params, {}, latents.at[1:].add(1.0), train=True)
  chex.assert_trees_all_close(others[0], samples[0], atol=1e-6)
  sampled, _ = generate(params, {}, latents, train=False)
  chex.assert_trees_all_close(sampled, samples, atol=1e-6)
  # Without biases, latents of zero would give samples of zero.
  for layer in params:
    moved = params | {layer: params[layer] | {"bias": params[layer]["bias"] + 0.1}}
    samples, _ = generate(moved, {}, jnp.zeros((5, 8)), train=False)
    assert abs(samples).max() > 0


def test_weights_start_as_in_the_dcgan_paper():
  init = dcgan(SHAPE, latent_dim=64, width=32).generator.init
  layers = ("Dense_0", "Conv_0", "BatchNorm_0", "BatchNorm_1")  # The rest is not compiled.
  params = jit(lambda key: {layer: init(key)[0][layer] for layer in layers})(KEY)
  for kernel in (params["Dense_0"]["kernel"], params["Conv_0"]["kernel"]):
    n = kernel.size
    assert abs(float(kernel.mean())) < 5 * 0.02 / np.sqrt(n)
    assert abs(float(kernel.std()) / 0.02 - 1) < 5 / np.sqrt(2 * n)
  scales = jnp.concatenate([params["BatchNorm_0"]["scale"], params["BatchNorm_1"]["scale"]])
  assert abs(float(scales.mean()) - 1) < 5 * 0.02 / np.sqrt(scales.size)
  assert 0.01 < float(scales.std()) < 0.03


def test_samples_are_images_in_range(generate, generator_variables):
  """And every pixel depends on the latent."""
  latents = jax.random.normal(KEY, (16, 8))
  params, stats = generator_variables
  large = jax.tree.map(lambda leaf: 10 * leaf, params)  # Large enough to need the bound.
  for train in (True, False):
    samples, _ = generate(params, stats, latents, train=train)
    chex.assert_shape(samples, (16, *SHAPE))
    assert (jnp.std(samples, axis=0) > 0).all()
    samples, _ = generate(large, stats, latents, train=train)
    assert abs(samples).max() <= 1


def test_running_statistics(generate, generator_variables):
  """Momentum 0.9 towards the batch's; sampling uses them, one sample apart from the others."""
  params, stats = generator_variables
  latents = jax.random.normal(KEY, (16, 8))
  trained, moved = generate(params, stats, latents, train=True)
  hidden = (latents @ params["Dense_0"]["kernel"]).reshape(-1, 16)
  expected = 0.9 * stats["BatchNorm_0"]["mean"] + 0.1 * hidden.mean(axis=0)
  chex.assert_trees_all_close(moved["BatchNorm_0"]["mean"], expected, atol=1e-6)
  sampled, unmoved = generate(params, moved, latents, train=False)
  chex.assert_trees_all_equal(unmoved, moved)
  assert not jnp.allclose(sampled, trained, atol=1e-3)
  others, _ = generate(params, moved, latents.at[1:].add(1.0), train=False)
  chex.assert_trees_all_close(others[0], sampled[0], atol=1e-6)


def test_penalty_gradient_by_finite_differences(pair, critic_params):
  """Second order through the convolutions, along one direction of the parameters, in float64."""
  with jax.enable_x64(True):
    to64 = functools.partial(jax.tree.map, lambda leaf: jnp.asarray(leaf, jnp.float64))
    real, fake = jax.random.uniform(KEY, (2, 3, *SHAPE), jnp.float64, -1, 1)
    flat, unravel = ravel_pytree(jax.tree.map(lambda leaf: 5 * leaf, to64(critic_params)))

    def penalty(flat):
      critic_fn = functools.partial(pair.critic.apply, unravel(flat))
      return wgan_jax.gradient_penalty(KEY, critic_fn, real, fake)

    direction = jnp.cos(jnp.arange(flat.size))
    value = jit(jax.value_and_grad(penalty))
    (above, _), (below, _) = value(flat + 1e-7 * direction), value(flat - 1e-7 * direction)
    _, gradient = value(flat)
    np.testing.assert_allclose(gradient @ direction, (above - below) / 2e-7, rtol=1e-4)


@pytest.mark.parametrize(
  ("size", "channels", "start"),
  [
    ((28, 28), [3, 6], 7 * 7),
    ((31, 100), [3, 6], 8 * 25),
    ((32, 40), [3, 6, 12], 4 * 5),
    ((65, 64), [3, 6, 12, 24], 5 * 4),
    ((128, 128), [3, 6, 12, 24, 24], 4 * 4),
  ],
)
def test_channels_double_with_each_halving_up_to_eight_widths(size, channels, start):
  pair = dcgan((*size, 1), latent_dim=2, width=3)
  critic = jax.eval_shape(pair.critic.init, KEY)
  n = len(channels)
  assert [critic[f"Conv_{i}"]["kernel"].shape for i in range(n)] == [
    (4, 4, *pair) for pair in zip([1, *channels[:-1]], channels, strict=True)
  ]
  assert critic["Dense_0"]["kernel"].shape == (start * channels[-1], 1)
  assert len(critic) == n + 1
  generator, _ = jax.eval_shape(pair.generator.init, KEY)
  assert generator["Dense_0"]["kernel"].shape == (2, start * channels[-1])
  assert [generator[f"Conv_{i}"]["kernel"].shape for i in range(n)] == [
    (4, 4, *pair) for pair in zip(channels[::-1], [*channels[-2::-1], 1], strict=True)
  ]


def test_the_layers_of_three_stages_are_the_critic():
  shape = (32, 37, 1)
  critic = dcgan(shape, latent_dim=2, width=2).critic
  params = draw_like(jax.eval_shape(critic.init, KEY), 0.3)
  image = jax.random.uniform(KEY, shape, minval=-1.0)
  assert len(critic.layers(params)) == 2 * 3 + 2
  chex.assert_trees_all_close(
    *jit(lambda p, x: (apply_layers(critic.layers(p), x), critic.apply(p, x)))(params, image),
    rtol=1e-4,
  )


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_the_chunk_lowers_for_cpu_cuda_and_tpu(pair, optimizer):
  penalty = {"adam": "gp", "rmsprop": "clip"}[optimizer]
  config = wgan_jax.Config(optimizer=optimizer, penalty=penalty, batch_size=4)
  training = wgan_jax.make_training(config, pair, sample_images)
  chunk = jax.jit(wgan_jax.make_chunk(training.step, 10), donate_argnums=0)
  hparams = jax.tree.map(jnp.float32, wgan_jax.Hparams())
  state = jax.eval_shape(training.init, KEY, hparams)
  data = jax.ShapeDtypeStruct((100, *SHAPE), jnp.uint8)
  exported = jax.export.export(chunk, platforms=("cpu", "cuda", "tpu"))(state, hparams, data, 3)
  assert exported.platforms == ("cpu", "cuda", "tpu")


def ravel_paths(tree):
  return jax.tree_util.tree_leaves_with_path(tree)

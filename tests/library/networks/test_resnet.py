"""The residual pair: the paper's networks written down plainly, their sizes and starts."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import jit
from helpers.problems import draw_like
from jax import lax

from wgan_jax.layers import Pool, apply_layers
from wgan_jax.networks import resnet
from wgan_jax.networks.resnet import upsample

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def pair():
  return resnet((32, 32, 3), latent_dim=5, width=3)


def convolve(x, layer):
  """A convolution of a batch by `jax.lax`, its bias included."""
  numbers = ("NHWC", "HWIO", "NHWC")
  y = lax.conv_general_dilated(x, layer["kernel"], (1, 1), "SAME", dimension_numbers=numbers)
  return y + layer.get("bias", jnp.zeros(y.shape[-1])).reshape(1, 1, 1, -1)


def halve(x):
  return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def double(x):
  return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def relu(x):
  return jnp.maximum(x, 0)


def papers_critic(params, images):
  """Appendix F's critic of 32 x 32 images, each pooling after its convolution."""
  x = images
  for i, (first, down) in enumerate([(True, True), (False, True), (False, False), (False, False)]):
    block = params[f"CriticBlock_{i}"]
    y = convolve(x if first else relu(x), block["Conv_0"])
    y = convolve(relu(y), block["Conv_1"])
    x = halve(y) + halve(convolve(x, block["Conv_2"])) if down else y + x
  return (relu(x).mean((1, 2)) @ params["Dense_0"]["kernel"])[:, 0] + params["Dense_0"]["bias"]


def papers_generator(params, latents):
  """Appendix F's generator of 32 x 32 images in training, each doubling before its convolution."""

  def normalise(x, layer):
    centred = x - x.mean((0, 1, 2), keepdims=True)
    x = centred / jnp.sqrt((centred**2).mean((0, 1, 2), keepdims=True) + 1e-5)
    return x * layer["scale"].reshape(1, 1, 1, -1) + layer["bias"].reshape(1, 1, 1, -1)

  x = latents @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None]
  x = x.reshape(len(latents), 4, 4, -1)
  for i in range(3):
    block = params[f"GeneratorBlock_{i}"]
    y = convolve(double(relu(normalise(x, block["BatchNorm_0"]))), block["Conv_0"])
    y = convolve(relu(normalise(y, block["BatchNorm_1"])), block["Conv_1"])
    x = y + convolve(double(x), block["Conv_2"])
  return jnp.tanh(convolve(relu(normalise(x, params["BatchNorm_0"])), params["Conv_0"]))


def test_both_networks_are_those_of_the_paper(pair):
  critic = draw_like(jax.eval_shape(pair.critic.init, KEY), 0.5)
  generator, stats = draw_like(jax.eval_shape(pair.generator.init, KEY), 0.5)

  @jit
  def compute(critic, generator, latents):
    samples, moved = pair.generator.apply(generator, stats, latents, train=True)
    scores = jax.vmap(functools.partial(pair.critic.apply, critic))(samples)
    expected = papers_generator(generator, latents)
    return (samples, scores), (expected, papers_critic(critic, samples)), moved

  ours, papers, moved = compute(critic, generator, jax.random.normal(KEY, (4, 5)))
  chex.assert_trees_all_close(ours, papers, atol=2e-5, rtol=2e-5)
  assert np.ptp(ours[1]) > 1e-2
  chex.assert_trees_all_equal_shapes_and_dtypes(moved, stats)
  for before, after in zip(jax.tree.leaves(stats), jax.tree.leaves(moved), strict=True):
    assert (before != after).all()


def test_the_papers_size():
  """Counted by hand, for width w = 128, a latent of 128 and images of 32 x 32 x 3.

  A 3x3 convolution has 9 w w = 147,456 weights, a 1x1 one w w = 16,384.
  Critic: the first block (27 w + w) + (9 w w + w) + (3 w + w) = 151,680; the second
  2 (9 w w + w) + (w w + w) = 311,680; two of 2 (9 w w + w) = 295,168; the score w + 1 = 129.
  Generator: the dense layer 129 * 16 w = 264,192; three blocks of 2 * 9 w w + w w, and two
  normalisations of 2 w each, 311,808; the last one 256; the last convolution 27 w + 3 = 3,459. The
  authors' has 3 * 3 w = 1,152 biases more, which the normalisations undo.
  """
  pair = resnet((32, 32, 3), latent_dim=128, width=128)
  params, stats = jax.eval_shape(pair.generator.init, KEY)
  assert count(jax.eval_shape(pair.critic.init, KEY)) == 1_053_825
  assert count(params) == 1_203_331
  assert count(stats) == 7 * 2 * 128


def count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
  ("size", "ups", "downs"), [((16, 16), 2, 1), ((28, 33), 2, 1), ((64, 70), 4, 3)]
)
def test_blocks_by_size(size, ups, downs):
  pair = resnet((*size, 1), latent_dim=2, width=2)
  params, _ = jax.eval_shape(pair.generator.init, KEY)
  assert sum(name.startswith("GeneratorBlock") for name in params) == ups
  critic = jax.eval_shape(pair.critic.init, KEY)
  assert [len(critic[f"CriticBlock_{i}"]) for i in range(len(critic) - 1)] == [3] * downs + [2, 2]


def test_weights_start_uniform_and_by_both_fans():
  """He's variance 2 / fan for the blocks' 3x3 convolutions, Glorot's 1 / fan for all else."""
  pair = resnet((16, 16, 3), latent_dim=20, width=12)
  names = ("Dense_0", "Conv_0", "GeneratorBlock_0", "CriticBlock_0")  # The rest is not compiled.

  @jit
  def draw(key):
    params = pair.generator.init(key)[0] | {"CriticBlock_0": pair.critic.init(key)["CriticBlock_0"]}
    return {name: params[name] for name in names}

  params = draw(KEY)
  kernels = [(params[name]["kernel"], 1) for name in names[:2]]
  for name in names[2:]:
    gains = {"Conv_0": 2, "Conv_1": 2, "Conv_2": 1}
    kernels += [(params[name][layer]["kernel"], gain) for layer, gain in gains.items()]
  for kernel, gain in kernels:
    taps = kernel[..., 0, 0].size
    bound = np.sqrt(3 * gain / (taps * sum(kernel.shape[-2:]) / 2))
    assert 0.9 * bound < abs(kernel).max() <= bound
    # The deviation of a uniform variable's square is 2 / (3 sqrt 5) of its bound's square.
    wrong = abs(float((kernel**2).mean()) / bound**2 - 1 / 3)
    assert wrong < 5 * 2 / (3 * 5**0.5) / np.sqrt(kernel.size)


def test_a_mean_of_an_odd_side_is_of_the_pixels_there_are():
  image = np.random.default_rng(0).normal(size=(5, 4, 2)).astype(np.float32)
  expected = [
    [image[i : i + 2, j : j + 2].mean((0, 1)) for j in range(0, 4, 2)] for i in range(0, 5, 2)
  ]
  np.testing.assert_allclose(Pool()(jnp.asarray(image)), expected, atol=1e-6)
  turned = Pool()(jnp.asarray(image.swapaxes(0, 1)))
  np.testing.assert_allclose(turned, np.swapaxes(expected, 0, 1), atol=1e-6)


def test_doubling_repeats_pixels_and_crops():
  images = np.random.default_rng(0).normal(size=(2, 3, 2, 4))
  expected = images.repeat(2, axis=1).repeat(2, axis=2)[:, :5, :3]
  np.testing.assert_array_equal(upsample(jnp.asarray(images, jnp.float32), (5, 3)),
    expected.astype(np.float32))  # fmt: skip


def test_sampling_is_by_the_running_statistics(pair):
  """Which it leaves as they are, so that a sample does not depend on its batch."""
  params, stats = jax.eval_shape(pair.generator.init, KEY)
  params, stats = draw_like(params, 0.5), jax.tree.map(lambda x: jnp.ones(x.shape), stats)
  generate = jit(functools.partial(pair.generator.apply, train=False))
  latents = jax.random.normal(KEY, (4, 5))
  samples, same = generate(params, stats, latents)
  chex.assert_trees_all_equal(same, stats)
  others, _ = generate(params, stats, latents.at[1:].add(1.0))
  chex.assert_trees_all_close(others[0], samples[0], atol=1e-6)
  assert not jnp.allclose(others[1:], samples[1:], atol=1e-4)


def test_the_layers_are_the_critic():
  critic = resnet((17, 16, 3), latent_dim=5, width=4).critic
  params = draw_like(jax.eval_shape(critic.init, KEY), 0.3)
  image = jax.random.normal(KEY, (17, 16, 3))
  assert len(critic.layers(params)) == 3 + 3  # Blocks, then an activation, a mean and the score.
  np.testing.assert_allclose(
    *jit(lambda p, x: (apply_layers(critic.layers(p), x), critic.apply(p, x)))(params, image),
    rtol=1e-4,
  )

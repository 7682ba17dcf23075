"""Pairs that take a class: what the class changes, what it does not, and what is refused."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.compiling import jit
from helpers.problems import draw_like

from wgan_jax.layers import apply_layers
from wgan_jax.networks import dcgan, infogan, resnet
from wgan_jax.networks.conditional import ClassBatchNorm

KEY = jax.random.key(0)
SHAPE = (16, 16, 1)
N = 3
MAKERS = {"dcgan": dcgan, "infogan": infogan, "resnet": resnet}
LABELS = jnp.array([2, 0, 1, 2])
IMAGES = jax.random.uniform(KEY, (4, *SHAPE), minval=-1.0)


@pytest.fixture(scope="module", params=MAKERS)
def make(request):
  """(kind) -> the pair, parameters of its critic, and its scores of images and labels, jitted."""

  @functools.cache
  def make(kind):
    n_classes = 0 if kind == "none" else N
    made = MAKERS[request.param](
      SHAPE, latent_dim=4, width=2, n_classes=n_classes, conditional=kind
    )
    params = draw_like(jax.eval_shape(made.critic.init, KEY), 0.5)
    axes = (None, 0, 0) if n_classes else (None, 0)
    return made, params, jit(jax.vmap(made.critic.apply, axes))

  return make


def test_projection_adds_the_product_with_the_classs_embedding(make):
  """With embeddings of zero it is the plain critic; each class has its own, linear in it."""
  pair, params, score = make("projection")
  _, _, plain_score = make("none")
  assert pair.n_classes == N
  assert pair.critic.layers is None
  assert pair.critic.classify is None
  embeddings = params["projection"]["kernel"]
  assert embeddings.shape[1] == N

  def scores(embeddings):
    given = params | {"projection": {"kernel": embeddings}}
    return np.stack([score(given, IMAGES, jnp.full(4, label)) for label in range(N)])

  without = {name: layer for name, layer in params.items() if name != "projection"}
  bare = scores(jnp.zeros_like(embeddings))
  expected = np.tile(plain_score(without, IMAGES), (N, 1))
  np.testing.assert_allclose(bare, expected, rtol=1e-5, atol=1e-6)
  given = scores(embeddings)
  assert (abs(given[:, None] - given[None]).max(-1) + np.eye(N) > 1e-3).all()
  moved = scores(embeddings.at[:, 1].multiply(3.0))
  np.testing.assert_allclose(moved[::2], given[::2], rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(moved[1] - bare[1], 3 * (given[1] - bare[1]), rtol=1e-3, atol=1e-5)


def test_an_auxiliary_classifier_leaves_the_score_alone(make):
  """The score takes no class; it is the plain critic's, and the chain of layers', where given."""
  pair, params, _ = make("acgan")
  plain, _, plain_score = make("none")
  assert pair.n_classes == N
  assert (pair.critic.layers is None) == (plain.critic.layers is None)
  without = {name: layer for name, layer in params.items() if name != "classes"}

  @jit
  def compute(params, image):
    scores = [pair.critic.apply(params, image, label) for label in range(N)]
    if pair.critic.layers is not None:
      scores.append(apply_layers(pair.critic.layers(params), image))
    return scores, pair.critic.classify(params, image)

  scores, (score, logits) = compute(params, IMAGES[0])
  expected = plain_score(without, IMAGES)[0]
  for each in [*scores, score]:
    chex.assert_trees_all_close(each, expected, rtol=1e-4)
  assert logits.shape == (N,)
  other = params | {"classes": jax.tree.map(lambda leaf: 2 * leaf, params["classes"])}
  _, (score, doubled) = compute(other, IMAGES[0])
  chex.assert_trees_all_close((score, doubled), (expected, 2 * logits), rtol=1e-4)


def test_a_batch_with_labels_is_scored_sample_by_sample(make):
  """By vmap over both, labels traced; another sample's label and pixels change nothing."""
  _, params, score = make("projection")
  scores = score(params, IMAGES, LABELS)
  others = score(params, IMAGES.at[1:].multiply(-1.0), LABELS.at[1:].set(1))
  chex.assert_trees_all_close(others[0], scores[0], rtol=1e-5, atol=1e-6)
  assert (abs(others[1:] - scores[1:]) > 1e-3).all()


def test_a_batch_of_penalised_critics_is_of_few_large_products(make):
  """The convolutions are merged for the batch; a class is chosen without gathers and scatters."""
  pair, params, _ = make("projection")
  plain, plain_params, _ = make("none")

  def program(apply, params, *inputs):
    def total(params):
      slopes = jax.vmap(jax.grad(functools.partial(apply, params)))(*inputs)
      return jnp.sum(slopes**2)

    return str(jax.make_jaxpr(jax.grad(total))(params))

  expected = program(plain.critic.apply, plain_params, IMAGES)
  given = program(pair.critic.apply, params, IMAGES, LABELS)
  for name in ("convolution_as_product[", "gather[", "scatter", "conv_general_dilated["):
    assert given.count(name) == expected.count(name), name
  assert given.count("convolution_as_product[") > 0
  variables = jax.eval_shape(pair.generator.init, KEY)

  def sample(params, stats, latents):
    return pair.generator.apply(params, stats, latents, LABELS, train=True)[0].sum()

  latents = jnp.zeros((4, pair.latent_dim))
  assert "scatter" not in str(jax.make_jaxpr(jax.grad(sample))(*variables, latents))


def test_the_class_is_drawn(make):
  """One latent, two classes: other samples. Equal rows, but for infogan's code: equal samples."""
  pair, _, _ = make("acgan")
  params, stats = draw_like(jax.eval_shape(pair.generator.init, KEY), 0.5)
  stats = jax.tree.map(jnp.ones_like, stats)
  latents = jnp.tile(jax.random.normal(KEY, (1, pair.latent_dim)), (N, 1))
  generate = jit(functools.partial(pair.generator.apply, train=False))
  samples, same = generate(params, stats, latents, jnp.arange(N))
  chex.assert_shape(samples, (N, *SHAPE))
  chex.assert_trees_all_equal(same, stats)
  apart = abs(samples[:, None] - samples[None]).max(axis=(2, 3, 4))
  assert (apart + jnp.eye(N) > 1e-3).all()
  turned, _ = generate(params, stats, latents, jnp.arange(N)[::-1])
  chex.assert_trees_all_close(turned[::-1], samples, atol=1e-6)
  if pair.latent_dim == 4 and "Dense_1" in params:  # InfoGAN's: the class is its category as well.
    return

  def first_row(path, leaf):
    shared = "ClassBatchNorm" in jax.tree_util.keystr(path)
    return jnp.broadcast_to(leaf[:1], leaf.shape) if shared else leaf

  equal = jax.tree_util.tree_map_with_path(first_row, params)
  samples, _ = generate(equal, stats, latents, jnp.arange(N))
  chex.assert_trees_all_close(samples, jnp.broadcast_to(samples[:1], samples.shape), atol=1e-6)


def test_infogans_class_takes_the_categorys_place():
  """No latents choose: with the normalisations' rows equal, the code alone tells classes apart."""
  pair = infogan(SHAPE, latent_dim=4, width=2, n_classes=N, conditional="projection")
  assert (pair.latent_dim, pair.n_classes) == (4, N)
  params, stats = jax.eval_shape(pair.generator.init, KEY)
  assert params["Dense_0"]["kernel"].shape == (N + 4, 16 * 2)
  params, stats = draw_like(params, 0.5), jax.tree.map(lambda x: jnp.ones(x.shape), stats)
  for layer in params.values():
    if "scale" in layer:
      layer.update(jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), layer))
  generate = jit(functools.partial(pair.generator.apply, train=False))
  samples, _ = generate(params, stats, jnp.ones((N, 4)), jnp.arange(N))
  apart = abs(samples[:, None] - samples[None]).max(axis=(2, 3, 4))
  assert (apart + jnp.eye(N) > 1e-3).all()


@pytest.mark.parametrize("shape", [(6, 5), (6, 2, 3, 5)])
def test_class_normalisation_is_flaxs_with_a_row_for_each_class(shape):
  """The statistics are the whole batch's, also the running ones, whatever the labels."""
  norm = ClassBatchNorm(N, nn.initializers.ones)
  flax = nn.BatchNorm(use_running_average=False, momentum=0.9)
  x = jax.random.normal(KEY, shape) * 3 + 1
  labels = jnp.array([0, 1, 2, 2, 1, 2])
  variables, plain = jax.eval_shape(lambda: (norm.init(KEY, x, labels, False), flax.init(KEY, x)))
  rows = draw_like(variables["params"], 1.0)
  assert {name: row.shape for name, row in rows.items()} == {"scale": (N, 5), "bias": (N, 5)}
  stats = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 2.0), plain["batch_stats"])

  @jit
  def compute(labels):
    given = {"params": rows, "batch_stats": {"BatchNorm_0": stats}}
    ours = norm.apply(given, x, labels, True, mutable=["batch_stats"])
    ones = {"params": {"scale": jnp.ones(5), "bias": jnp.zeros(5)}, "batch_stats": stats}
    return ours, flax.apply(ones, x, mutable=["batch_stats"])

  for order in (labels, labels[::-1]):
    (y, updates), (expected, moved) = compute(order)
    scale, bias = (
      np.reshape(rows[name][order], (6, *[1] * (x.ndim - 2), 5)) for name in ("scale", "bias")
    )
    np.testing.assert_allclose(y, expected * scale + bias, rtol=1e-5, atol=1e-5)
    chex.assert_trees_all_equal(updates["batch_stats"]["BatchNorm_0"], moved["batch_stats"])


def test_rows_start_as_an_unconditional_normalisations():
  """dcgan: scales N(1, 0.02), every class its own; offsets of 0. The last of resnet has one row."""
  pair = dcgan(SHAPE, latent_dim=2, width=32, n_classes=10, conditional="acgan")
  layers = ("ClassBatchNorm_0", "ClassBatchNorm_1")
  norms = jit(lambda key: {name: pair.generator.init(key)[0][name] for name in layers})(KEY)
  scales = np.concatenate([norm["scale"].ravel() for norm in norms.values()])
  assert abs(scales.mean() - 1) < 5 * 0.02 / np.sqrt(scales.size)
  assert abs(scales.std() / 0.02 - 1) < 5 / np.sqrt(2 * scales.size)
  assert all((norm["bias"] == 0).all() for norm in norms.values())
  pair = resnet(SHAPE, latent_dim=2, width=2, n_classes=10, conditional="acgan")
  params, _ = jax.eval_shape(pair.generator.init, KEY)
  assert params["BatchNorm_0"]["scale"].shape == (2,)
  assert params["GeneratorBlock_1"]["ClassBatchNorm_1"]["scale"].shape == (10, 2)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
  ("choices", "words"),
  [
    ({"conditional": "label"}, "one of none, projection, acgan, got 'label'"),
    ({"n_classes": 10}, "conditional='none' take no class: leave n_classes 0, got 10"),
    ({"conditional": "acgan"}, "conditional='acgan' needs n_classes of 2 or more, got 0"),
    ({"conditional": "projection", "n_classes": 1}, "needs n_classes of 2 or more, got 1"),
  ],
)
def test_what_does_not_go_together_is_refused(name, choices, words):
  with pytest.raises(ValueError, match=words):
    MAKERS[name](SHAPE, latent_dim=2, width=2, **choices)


def test_a_generator_that_could_not_take_the_class_is_refused():
  with pytest.raises(ValueError, match="needs batch_norm=True"):
    dcgan(SHAPE, latent_dim=2, width=2, batch_norm=False, n_classes=3, conditional="acgan")

"""Networks that are told a sample's class, through penalties, objectives, training and draws."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import wgan_jax
from wgan_jax.data.images import LabelledImages, sample_images, sample_labelled_images
from wgan_jax.objectives import AC_CRITIC_WEIGHT, AC_GENERATOR_WEIGHT, make_objectives
from wgan_jax.precision import compute_in

N_CLASSES = 3
HPARAMS = wgan_jax.Hparams()


def make_pair(**critic):
  """A critic (y + 1) <w, x> and a generator a z + y, in two dimensions."""
  return wgan_jax.Pair(
    wgan_jax.Network(
      lambda key: {"w": jnp.array([3.0, 4.0])},
      lambda params, x, label: (label + 1) * jnp.sum(params["w"] * x),
      **critic,
    ),
    wgan_jax.Network(
      lambda key: ({"a": jnp.float32(0.5)}, {}),
      lambda params, stats, z, labels, *, train: (
        params["a"] * z + labels[:, None].astype(z.dtype), stats),
    ),
    latent_dim=2,
    n_classes=N_CLASSES,
  )  # fmt: skip


def logits_of(params, x):
  return jnp.sum(params["w"] * x), jnp.concatenate([x, jnp.zeros(1, x.dtype)])


def sample_labelled(key, data, n):
  labels = jax.random.randint(key, (n,), 0, N_CLASSES)
  return jnp.zeros((n, 2)) + labels[:, None].astype(jnp.float32), labels


def test_the_norm_is_of_the_gradient_to_the_sample_with_its_own_class():
  pair = make_pair()
  params, labels = pair.critic.init(None), jnp.array([0, 2, 1])
  norms = wgan_jax.gradient_norms(
    lambda x, label: pair.critic.apply(params, x, label), jnp.ones((3, 2)), labels
  )
  np.testing.assert_allclose(norms, [5, 15, 10], rtol=1e-6)


def test_the_penalty_of_a_conditional_critic_has_its_closed_form():
  pair = make_pair()
  objectives = make_objectives(wgan_jax.LOSSES["wasserstein"], wgan_jax.PENALTIES["gp"], pair)
  labels = jnp.array([0, 1, 2, 2])
  x, y = jax.random.normal(jax.random.key(0), (2, 4, 2))
  params = pair.critic.init(None)
  value, metrics = objectives.critic(params, jax.random.key(1), x, y, 10.0, labels)
  np.testing.assert_allclose(metrics["gradient_penalty"], (16 + 81 + 2 * 196) / 4, rtol=1e-5)
  scores = (labels + 1) * ((x - y) @ params["w"])
  np.testing.assert_allclose(metrics["estimate"], scores.mean(), rtol=1e-4)
  np.testing.assert_allclose(value, metrics["critic_loss"])


def test_a_fake_sample_has_the_class_of_the_real_one_beside_it():
  pair = make_pair()
  critic = pair.critic._replace(apply=lambda params, x, label: label + 0 * jnp.sum(params["w"] * x))
  config = wgan_jax.Config(penalty="none", batch_size=7, n_critic=1)
  init, step = wgan_jax.make_training(config, pair._replace(critic=critic), sample_labelled)
  _, info = jax.jit(step)(init(jax.random.key(0), HPARAMS), HPARAMS, None)
  assert info.estimate == 0
  assert info.generator_loss != 0  # Minus the mean class of its batch.


def test_an_auxiliary_classifier_adds_its_weighted_cross_entropies():
  pair = make_pair(classify=logits_of)
  x, y = jax.random.normal(jax.random.key(0), (2, 4, 2))
  labels, latents = jnp.array([0, 1, 2, 1]), jax.random.normal(jax.random.key(1), (4, 2))
  params, (generator_params, _) = pair.critic.init(None), pair.generator.init(None)
  loss, penalty = wgan_jax.LOSSES["wasserstein"], wgan_jax.PENALTIES["none"]
  objectives = make_objectives(loss, penalty, pair)

  def cross_entropy(x):
    _, logits = jax.vmap(lambda x: logits_of(params, x))(x)
    return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(4), labels])

  value, metrics = objectives.critic(params, None, x, y, 0.0, labels)
  added = value - metrics["critic_loss"]
  np.testing.assert_allclose(added, AC_CRITIC_WEIGHT * cross_entropy(x), atol=1e-5)
  np.testing.assert_allclose(metrics["critic_loss"], ((y - x) @ params["w"]).mean(), atol=1e-5)
  value, _ = objectives.generator(generator_params, {}, params, latents, None, labels)
  fake, _ = pair.generator.apply(generator_params, {}, latents, labels, train=True)
  bare = -(fake @ params["w"]).mean()
  np.testing.assert_allclose(value - bare, AC_GENERATOR_WEIGHT * cross_entropy(fake), atol=1e-5)


def test_samples_have_the_classes_that_are_asked_for_and_all_if_none_are():
  pair = make_pair()
  config = wgan_jax.Config(batch_size=4)
  init, _ = wgan_jax.make_training(config, pair, sample_labelled)
  state = init(jax.random.key(0), HPARAMS)
  state = state._replace(ema=({"a": jnp.float32(0)}, {}))
  labels = jnp.array([2, 0, 1])
  given = wgan_jax.generate(pair, state, jax.random.key(1), 3, labels=labels)
  np.testing.assert_array_equal(given[:, 0], labels)
  drawn = wgan_jax.generate(pair, state, jax.random.key(1), 3000)[:, 0]
  counts = np.bincount(np.asarray(drawn, int), minlength=N_CLASSES)
  assert np.abs(counts - 1000).max() < 5 * np.sqrt(3000 * 2 / 9)


def test_labels_and_networks_must_fit():
  pair = make_pair()
  state = None
  plain = pair._replace(n_classes=0)
  state = wgan_jax.make_training(wgan_jax.Config(), plain, None).init(jax.random.key(0), HPARAMS)
  with pytest.raises(ValueError, match="labels do nothing"):
    wgan_jax.generate(plain, state, jax.random.key(0), 2, labels=jnp.zeros(2, int))
  for networks, sample in [
    (pair, lambda key, data, n: jnp.zeros((n, 2))),
    (plain, sample_labelled),
  ]:
    training = wgan_jax.make_training(wgan_jax.Config(n_critic=1), networks, sample)
    with pytest.raises(ValueError, match=r"sample_real must return \(samples, classes\)"):
      jax.eval_shape(training.step, state, HPARAMS, None)


def test_the_generators_batch_may_have_another_size():
  seen = []
  pair = make_pair()

  def apply(params, stats, z, labels, *, train):
    seen.append(len(z))
    return pair.generator.apply(params, stats, z, labels, train=train)

  networks = pair._replace(generator=pair.generator._replace(apply=apply))
  config = wgan_jax.Config(
    batch_size=4, generator_batch_size=9, loss="relativistic_average", n_critic=1
  )
  init, step = wgan_jax.make_training(config, networks, sample_labelled)
  _, info = step(init(jax.random.key(0), HPARAMS), HPARAMS, None)
  assert set(seen) == {4, 9}
  assert info.finite
  with pytest.raises(ValueError, match="generator_batch_size must be at least 1"):
    wgan_jax.Config(generator_batch_size=0)


def test_in_bfloat16_scores_logits_and_samples_keep_their_types():
  pair = compute_in(make_pair(classify=logits_of), "bfloat16")
  params, x = pair.critic.init(None), jnp.full(2, 1 + 2.0**-7 + 2.0**-9)
  label = jnp.int32(1)
  score, logits = pair.critic.classify(params, x)
  generated, _ = pair.generator.apply(
    pair.generator.init(None)[0], {}, jnp.ones((1, 2)), label[None], train=False
  )
  chex.assert_type([pair.critic.apply(params, x, label), score, logits, generated], jnp.float32)
  assert logits[0] == 1 + 2.0**-7  # The rest does not fit.


def test_a_class_comes_with_its_image():
  images = jnp.arange(10, dtype=jnp.uint8)[:, None, None, None]
  data = LabelledImages(images, jnp.arange(10))
  drawn, labels = sample_labelled_images(jax.random.key(0), data, 20)
  np.testing.assert_array_equal(drawn, sample_images(jax.random.key(0), images, 20))
  np.testing.assert_allclose((drawn.ravel() + 1) * 127.5, labels, atol=1e-4)

"""The gradient penalty, proved by closed forms at batches larger than one; and clipping.

Each known way of getting it wrong has a test here that fails for it.
"""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import wgan_jax
from wgan_jax.penalties import PENALTIES, check_penalty

pytestmark = pytest.mark.device

KEY = jax.random.key(0)


def half_square(x):
  """c(x) = |x|^2 / 2, whose gradient is x: the penalty shows where it was evaluated."""
  return jnp.sum(jnp.square(x)) / 2


class ClosedFormsTest(parameterized.TestCase):
  @chex.variants(with_jit=True)
  def test_linear_critic(self):
    """c(x) = <w, x>: (|w| - 1)^2 for any data and batch, which a mean before would shrink."""
    w = jax.random.normal(KEY, (4, 3, 2))
    expected = (float(np.linalg.norm(w)) - 1) ** 2
    for batch in (1, 2, 64):
      real, fake = jax.random.normal(KEY, (2, batch, 4, 3, 2))
      penalty = self.variant(
        lambda real, fake: wgan_jax.gradient_penalty(KEY, lambda x: jnp.vdot(w, x), real, fake)
      )(real, fake)
      chex.assert_trees_all_close(penalty, expected, rtol=1e-5)

  @chex.variants(with_jit=True)
  def test_norms_are_per_sample_over_all_entries(self):
    """real == fake of norms 1 and 3: E (0, 4) = 2, not (sqrt 10 - 1)^2 of the whole batch."""
    x = jnp.stack([jnp.full((2, 2, 1), 0.5), jnp.full((2, 2, 1), 1.5)])
    norms = self.variant(lambda x: wgan_jax.gradient_norms(half_square, x))(x)
    chex.assert_trees_all_close(norms, jnp.array([1.0, 3.0]), rtol=1e-6)
    penalty = self.variant(lambda x: wgan_jax.gradient_penalty(KEY, half_square, x, x))(x)
    chex.assert_trees_all_close(penalty, 2.0, rtol=1e-6)

  @chex.variants(with_jit=True)
  def test_penalize(self):
    norms = jnp.array([0.0, 1.0, 3.0])
    penalize = self.variant(wgan_jax.penalize, static_argnames="one_sided")
    chex.assert_trees_all_close(penalize(norms), 5 / 3)
    chex.assert_trees_all_close(penalize(norms, one_sided=True), 4 / 3)
    chex.assert_trees_all_close(penalize(norms, target=0.0), 10 / 3)
    chex.assert_trees_all_close(penalize(norms, target=2.0, one_sided=True), 1 / 3)

  @chex.variants(with_jit=True)
  def test_flat_critic(self):
    """The norm's gradient at zero: penalty 1, and a finite gradient for the parameters."""
    x = jax.random.normal(KEY, (5, 3))

    def penalty(w):
      return wgan_jax.gradient_penalty(KEY, lambda x: jnp.vdot(w, x), x, x)

    value, gradient = self.variant(jax.value_and_grad(penalty))(jnp.zeros(3))
    chex.assert_trees_all_close(value, 1.0)
    chex.assert_tree_all_finite(gradient)


def test_samples_do_not_touch_each_other():
  x = jax.random.normal(KEY, (3, 4))
  moved = x.at[1].add(7.0)
  before, after = (wgan_jax.gradient_norms(half_square, v) for v in (x, moved))
  assert before[0] == after[0]
  assert before[2] == after[2]
  assert before[1] != after[1]


def test_epsilon_is_uniform():
  """c = |x|^2 / 2, fake = 0, |x| = 1: the norm is epsilon, and E (epsilon - 1)^2 = 1/3.

  epsilon ~ N(0, 1) would give 2. One standard deviation of (epsilon - 1)^2 is sqrt(4 / 45).
  """
  n = 20_000
  real = jnp.zeros((n, 2)).at[:, 0].set(1.0)
  penalty = wgan_jax.gradient_penalty(KEY, half_square, real, jnp.zeros_like(real))
  assert abs(float(penalty) - 1 / 3) < 5 * math.sqrt(4 / 45 / n)
  epsilon = wgan_jax.interpolate(KEY, real, jnp.zeros_like(real))[:, 0]
  assert epsilon.min() >= 0
  assert epsilon.max() < 1
  # The Kolmogorov-Smirnov distance to U[0, 1] exceeds 2 / sqrt(n) with probability 7e-4.
  gap = jnp.max(jnp.abs(jnp.sort(epsilon) - (jnp.arange(n) + 0.5) / n))
  assert gap < 2 / math.sqrt(n)


def test_one_epsilon_a_sample():
  """Shared by a sample's pixels, different between samples; real at 1, fake at 0."""
  real = jnp.ones((8, 3, 3, 2))
  x_hat = wgan_jax.interpolate(KEY, real, jnp.zeros_like(real))
  epsilon = x_hat[:, 0, 0, 0]
  assert (x_hat == epsilon[:, None, None, None]).all()
  assert len(np.unique(epsilon)) == 8
  # The paper's direction, though no distribution shows it: epsilon weighs the real sample.
  chex.assert_trees_all_equal(epsilon, jax.random.uniform(KEY, (8, 1, 1, 1)).ravel())


def test_a_critic_that_couples_samples_has_no_such_signature():
  """Batch normalisation needs a batch; a critic function is given one sample."""

  def normalised(x):
    chex.assert_rank(x, 2)
    return jnp.sum((x - x.mean(axis=0, keepdims=True)) ** 2)

  with pytest.raises(AssertionError):
    wgan_jax.gradient_norms(normalised, jnp.ones((4, 3)))


def test_second_order_by_finite_differences():
  """The gradient of the whole critic loss, through the penalty's inner gradient, in float64."""
  with jax.enable_x64(True):
    keys = jax.random.split(jax.random.key(1), 4)
    real, fake = jax.random.normal(keys[0], (2, 6, 3))
    params = (jax.random.normal(keys[1], (3, 5)), jax.random.normal(keys[2], (5,)))

    def critic_loss(params):
      def critic_fn(x):
        return jnp.tanh(x @ params[0]) @ params[1]

      penalty = wgan_jax.gradient_penalty(keys[3], critic_fn, real, fake)
      scores = jax.vmap(critic_fn)
      return wgan_jax.wasserstein_critic_loss(scores(real), scores(fake)) + 10 * penalty

    gradient = jax.jit(jax.grad(critic_loss))(params)
    direction = jax.tree.map(lambda p: jnp.cos(jnp.arange(p.size)).reshape(p.shape), params)

    def along(t):
      return critic_loss(jax.tree.map(lambda p, d: p + t * d, params, direction))

    numeric = (along(1e-5) - along(-1e-5)) / 2e-5
    exact = sum(
      jnp.vdot(g, d)
      for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
    )
    np.testing.assert_allclose(exact, numeric, rtol=1e-7)


def test_sharded_over_devices_equals_one_device():
  """The batch split over two devices, whose samples differ in slope: the same penalty."""
  if jax.device_count() < 2:
    pytest.skip("there is one device")
  real = jnp.concatenate([jnp.full((4, 3), 0.1), jnp.full((4, 3), 5.0)])
  fake = jax.random.normal(KEY, (8, 3))
  expected = wgan_jax.gradient_penalty(KEY, half_square, real, fake)
  sharding = NamedSharding(Mesh(np.array(jax.devices()[:2]), ("batch",)), PartitionSpec("batch"))
  real, fake = jax.device_put((real, fake), sharding)
  penalty = jax.jit(lambda r, f: wgan_jax.gradient_penalty(KEY, half_square, r, f))(real, fake)
  assert len(real.sharding.device_set) == 2
  chex.assert_trees_all_close(penalty, expected, rtol=1e-6)


PENALISED = [name for name, row in PENALTIES.items() if row.cost is not None]
# Of a critic of slope s everywhere.
COSTS = {
  "gp": lambda s: (s - 1) ** 2,
  "gp_one_sided": lambda s: max(s - 1, 0) ** 2,
  "r1": lambda s: s**2 / 2,
  "r2": lambda s: s**2 / 2,
  "dragan": lambda s: (s - 1) ** 2,
}


def row_penalty(name, critic_fn, real, fake):
  row = PENALTIES[name]
  return row.cost(wgan_jax.gradient_norms(critic_fn, row.points(KEY, real, fake)))


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("batch", [1, 2, 64])
def test_rows_of_a_linear_critic(name, batch):
  real, fake = jax.random.normal(KEY, (2, batch, 3, 2))
  for slope in (0.5, 3.0):
    w = jnp.full((3, 2), slope / math.sqrt(6))
    penalty = row_penalty(name, lambda x, w=w: jnp.vdot(w, x), real, fake)
    np.testing.assert_allclose(penalty, COSTS[name](slope), rtol=1e-5)


def test_every_cost_has_its_closed_form_here():
  assert set(COSTS) == set(PENALISED), "give COSTS the cost of a critic of slope s"


@pytest.mark.parametrize("name", COSTS)
def test_rows_of_a_flat_critic_have_a_finite_gradient(name):
  real, fake = jax.random.normal(KEY, (2, 5, 3))
  value, gradient = jax.value_and_grad(
    lambda w: row_penalty(name, lambda x: jnp.vdot(w, x), real, fake)
  )(jnp.zeros(3))
  assert value == COSTS[name](0)
  chex.assert_trees_all_equal(gradient, jnp.zeros(3))


@pytest.mark.parametrize("name", COSTS)
def test_integer_data_are_refused(name):
  with pytest.raises(AssertionError):
    row_penalty(name, half_square, jnp.ones((4, 3), int), jnp.ones((4, 3), int))


def test_r1_is_at_real_and_r2_at_fake_samples():
  """c(x) = |x|^2 / 2: half the mean of |x|^2 for norms 1 and 3, and of |g(z)|^2 for 2 and 2."""
  real, fake = jnp.diag(jnp.array([1.0, 3.0])), 2 * jnp.eye(2)
  np.testing.assert_allclose(row_penalty("r1", half_square, real, fake), 2.5, rtol=1e-6)
  np.testing.assert_allclose(row_penalty("r2", half_square, real, fake), 2.0, rtol=1e-6)


def test_the_gradient_of_squared_norms_is_exact_near_a_flat_critic():
  """c(x) = <w, x>: the penalty is |w|^2 / 2, its gradient w, at any size of w."""
  x = jax.random.normal(KEY, (5, 3))
  for scale in (0.0, 1e-8, 1.0):
    w = scale * jnp.array([3.0, 0.0, 4.0])
    gradient = jax.grad(lambda w: row_penalty("r1", lambda x: jnp.vdot(w, x), x, x))(w)
    np.testing.assert_allclose(gradient, w, rtol=1e-5)


def test_dragan_perturbs_real_data_at_their_own_scale():
  """alpha u s / 2 of alpha, u ~ U[0, 1): in [0, s / 2), of mean s / 8, one alpha for a sample."""
  n = 4000
  real = jnp.tile(jnp.array([[5.0, -1.0]]), (n, 1))  # s = 3, about a mean of 2.
  moved = wgan_jax.perturb(KEY, real) - real
  assert moved.min() >= 0
  assert moved.max() < 1.5
  # sqrt(7) / 12 is the standard deviation of the product of two uniforms.
  assert abs(float(moved[:, 0].mean()) / 1.5 - 0.25) < 5 * math.sqrt(7) / 12 / math.sqrt(n)
  # A shared alpha correlates the entries of a sample: (1/12) (1/4) / (7/144) = 3/7.
  assert abs(float(jnp.corrcoef(moved.T)[0, 1]) - 3 / 7) < 0.1
  fake = jnp.full_like(real, 1e3)  # Whatever the generator does:
  points = PENALTIES["dragan"].points(KEY, real, fake)
  chex.assert_trees_all_equal(points, wgan_jax.perturb(KEY, real))


def test_only_clipping_projects():
  hparams, params = wgan_jax.Hparams(clip_value=0.1), {"w": jnp.array([-3.0, 0.05])}
  assert [name for name, row in PENALTIES.items() if row.project is not None] == ["clip"]
  clipped = PENALTIES["clip"].project(params, hparams)
  chex.assert_trees_all_close(clipped, {"w": jnp.array([-0.1, 0.05])})


def test_only_a_cost_has_a_weight():
  assert {name for name, row in PENALTIES.items() if row.lambda_gp} <= set(PENALISED)


def test_real_and_fake_must_agree_in_shape():
  with pytest.raises(AssertionError):
    wgan_jax.interpolate(KEY, jnp.ones((4, 3)), jnp.ones((1, 3)))


def test_clip_params_clips_every_leaf_with_a_traced_bound():
  params = {"kernel": jnp.array([[-3.0, 0.005]]), "bias": jnp.array([0.5])}
  clipped = jax.jit(wgan_jax.clip_params)(params, 0.01)
  expected = {"kernel": jnp.array([[-0.01, 0.005]]), "bias": jnp.array([0.01])}
  chex.assert_trees_all_close(clipped, expected)


def test_clipping_keeps_the_types_of_the_parameters():
  with jax.enable_x64(True):
    params = {"w": jnp.ones(2, jnp.float32), "v": jnp.ones(2, jnp.float64)}
    clipped = wgan_jax.clip_params(params, jnp.float64(0.1))
  chex.assert_trees_all_equal_dtypes(clipped, params)


def test_integers_are_refused_by_every_function_of_samples():
  floats, integers = jnp.ones((4, 3)), jnp.ones((4, 3), int)
  for refused in (
    lambda: wgan_jax.interpolate(KEY, floats, integers),
    lambda: wgan_jax.interpolate(KEY, integers, floats),
    lambda: wgan_jax.perturb(KEY, integers),
    lambda: wgan_jax.gradient_norms(half_square, integers),
  ):
    with pytest.raises(AssertionError):
      refused()


@pytest.mark.parametrize("cost", [wgan_jax.penalize, wgan_jax.penalize_squares])
def test_costs_take_one_norm_a_sample(cost):
  with pytest.raises(AssertionError):
    cost(jnp.ones((4, 1)))


def test_the_gradient_penalty_passes_its_target_and_side_on():
  """c(x) = <w, x> of norm 1/2."""
  w, x = jnp.array([0.3, 0.4]), jnp.ones((3, 2))

  def penalty(**options):
    return wgan_jax.gradient_penalty(KEY, lambda x: jnp.vdot(w, x), x, x, **options)

  measured = [penalty(), penalty(target=2.0), penalty(one_sided=True)]
  np.testing.assert_allclose(measured, [0.25, 2.25, 0.0], rtol=1e-5)


def test_points_around_images_share_their_alpha():
  """alpha weighs all u of an image: the largest of many is near alpha, and differs by image."""
  real = jnp.tile(jnp.array([1.0, -1.0]), (6, 9, 9, 1))  # s = 1.
  alpha = 2 * jnp.max(wgan_jax.perturb(KEY, real) - real, axis=(1, 2, 3))
  key_alpha, _ = jax.random.split(KEY)
  drawn = jax.random.uniform(key_alpha, (6, 1, 1, 1)).ravel()
  np.testing.assert_allclose(alpha, drawn, rtol=0.1)


def test_rows_have_the_weights_and_losses_of_their_sources():
  stated = {name: (row.lambda_gp, row.loss, row.reads) for name, row in PENALTIES.items()}
  assert stated == {
    "gp": (10, "wasserstein", ()),
    "gp_one_sided": (10, "wasserstein", ()),
    "r1": (10, "nonsaturating", ()),
    "r2": (10, "nonsaturating", ()),
    "dragan": (10, "nonsaturating", ()),
    "clip": (None, "wasserstein", ("clip_value",)),
    "none": (None, "wasserstein", ()),
  }


def test_points_and_a_cost_come_together():
  for row in PENALTIES.values():
    check_penalty(row)
  for given, missing, row in [
    ("points", "cost", wgan_jax.Penalty(points=wgan_jax.interpolate)),
    ("cost", "points", wgan_jax.Penalty(cost=wgan_jax.penalize)),
  ]:
    with pytest.raises(ValueError, match=f"has {given} but no {missing}: give both"):
      check_penalty(row)


def test_the_largest_slope_is_not_taken_for_zero():
  """The inverse of 2^127, a power of two below it, is subnormal."""
  norms = wgan_jax.gradient_norms(lambda x: 3e38 * x[0], jnp.ones((2, 1)))
  np.testing.assert_array_equal(norms, jnp.full(2, 3e38))

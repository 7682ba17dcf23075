"""Training: Algorithm 1 to the letter, one program, the same bytes for the same key."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers.problems import points, points_pair, sample_points, shift_pair

import wgan_jax
from wgan_jax import Config, Hparams, Loss, Penalty
from wgan_jax.losses import LOSSES
from wgan_jax.penalties import PENALTIES

pytestmark = pytest.mark.device

KEY = jax.random.key(3)
HPARAMS = Hparams(learning_rate=1e-2)
PAIR = points_pair(depth=1)
SMALL = Config(batch_size=4, n_critic=2)
# Compiling is most of the time here, and rounding no subject.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def small_training():
  """A training of points, its `init` and `step` jitted once for all tests."""
  training = wgan_jax.make_training(SMALL, PAIR, sample_points)
  return training._replace(init=jit(training.init), step=jit(training.step))


@functools.cache
def small_chunk():
  """Up to 16 steps of the same training."""
  return jit(wgan_jax.make_chunk(wgan_jax.make_training(SMALL, PAIR, sample_points).step, 16))


def linear_critic(params, x):
  return jnp.vdot(params["w"], x)


def ones(key, data, batch_size):
  return jnp.ones((batch_size, 1))


def run(config, pair, sample_real=ones, *, data=None, hparams=HPARAMS, n_steps=1):
  """`n_steps` jitted steps -> final state, list of Info."""
  training = wgan_jax.make_training(config, pair, sample_real)
  state, infos = training.init(KEY, hparams), []
  step = jit(training.step)
  for _ in range(n_steps):
    state, info = step(state, hparams, data)
    infos.append(info)
  return state, infos


def test_step_is_algorithm_1():
  """The scanned step against plain Python: n_critic penalised updates, then the generator's."""
  training, data = small_training(), points()
  start = training.init(KEY, HPARAMS)
  state, info = training.step(start, HPARAMS, data)

  optimizer = optax.adam(1e-2, b1=0.5, b2=0.9)
  critic_params, critic_opt = start.critic_params, optimizer.init(start.critic_params)
  key_critic, key_generator = jax.random.split(jax.random.fold_in(start.key, 0))

  def fakes(params, key):
    return PAIR.generator.apply(params, {}, jax.random.normal(key, (4, 3)), train=True)[0]

  def critic_loss(params, key, real, fake):
    critic_fn = functools.partial(PAIR.critic.apply, params)
    wasserstein = wgan_jax.wasserstein_critic_loss(
      jax.vmap(critic_fn)(real), jax.vmap(critic_fn)(fake)
    )
    penalty = wgan_jax.gradient_penalty(key, critic_fn, real, fake)
    return wasserstein + 10 * penalty, (wasserstein, penalty)

  @jit
  def update_critic(params, opt_state, key):
    key_real, key_latents, key_epsilon = jax.random.split(key, 3)
    real = sample_points(key_real, data, 4)
    fake = fakes(start.generator_params, key_latents)
    losses, gradients = jax.value_and_grad(critic_loss, has_aux=True)(
      params, key_epsilon, real, fake
    )
    updates, opt_state = optimizer.update(gradients, opt_state)
    return optax.apply_updates(params, updates), opt_state, losses

  @jit
  def update_generator(params, critic_params):
    def loss(params):
      scores = jax.vmap(functools.partial(PAIR.critic.apply, critic_params))
      return wgan_jax.wasserstein_generator_loss(scores(fakes(params, key_generator)))

    updates, _ = optimizer.update(jax.grad(loss)(params), optimizer.init(params))
    return optax.apply_updates(params, updates)

  for key in jax.random.split(key_critic, 2):
    critic_params, critic_opt, losses = update_critic(critic_params, critic_opt, key)
  loss, (wasserstein, penalty) = losses
  generator_params = update_generator(start.generator_params, critic_params)

  chex.assert_trees_all_close(state.critic_params, critic_params, rtol=2e-4, atol=2e-6)
  chex.assert_trees_all_close(state.generator_params, generator_params, rtol=2e-4, atol=2e-6)
  # Critic metrics are of the last update: the signs, and lambda in the loss but not the penalty.
  chex.assert_trees_all_close(info.critic_loss, loss, rtol=1e-4)
  chex.assert_trees_all_close(info.estimate, -wasserstein, rtol=1e-4)
  chex.assert_trees_all_close(info.gradient_penalty, penalty, rtol=1e-4)
  assert int(state.step) == 1


@pytest.mark.parametrize(("n_critic", "unroll"), [(3, 2), (2, 5)])
def test_unrolled_updates_are_the_same_updates(n_critic, unroll):
  """Also where the compiler's share of them does not divide their number, or is larger."""
  config, data = dataclasses.replace(SMALL, n_critic=n_critic), points()
  plain, _ = run(config, PAIR, sample_points, data=data)
  unrolled, _ = run(dataclasses.replace(config, unroll=unroll), PAIR, sample_points, data=data)
  chex.assert_trees_all_close(unrolled.critic_params, plain.critic_params, rtol=1e-5, atol=1e-6)
  assert unrolled.critic_opt_state[0].count == n_critic


def test_every_update_draws_its_own_batch_latents_and_epsilon():
  """Five critic updates and a generator update that sees real samples: all draws are distinct."""
  drawn = {"real": [], "latents": [], "norms": []}

  def record(name):
    return lambda value: drawn[name].append(tuple(np.asarray(value).ravel().tolist()))

  def sample_real(key, data, batch_size):
    jax.debug.callback(record("real"), jax.random.key_data(key))
    return jnp.ones((batch_size, 1))

  pair = shift_pair(lambda params, x: jnp.sum(jnp.square(x)) / 2 + 0 * linear_critic(params, x))
  generate = pair.generator.apply

  def recorded_generate(params, batch_stats, latents, *, train):
    # Differentiation may run the pass more than once: equal draws then mean the same pass.
    jax.debug.callback(record("latents"), latents)
    return generate(params, batch_stats, latents, train=train)

  def cost(norms):
    # With these networks a norm shows nothing but its epsilon.
    jax.debug.callback(record("norms"), jax.lax.stop_gradient(norms))
    return wgan_jax.penalize(norms)

  pair = pair._replace(generator=pair.generator._replace(apply=recorded_generate))
  penalty = Penalty(points=wgan_jax.interpolate, cost=cost)
  config = Config("relativistic_average", penalty, n_critic=5, batch_size=2)
  run(config, pair, sample_real, hparams=Hparams(learning_rate=0.0), n_steps=2)
  jax.effects_barrier()
  assert len(set(drawn["real"])) == 2 * (5 + 1)
  assert len(set(drawn["norms"])) == 2 * 5
  assert len(set(drawn["latents"])) == 2 * (5 + 1)


def translating_pair():
  """g(z) = z + shift + the running count, and 100 more in training mode; c(x) = w x."""

  def apply(params, batch_stats, latents, *, train):
    moved = jnp.broadcast_to(params["shift"] + batch_stats["count"] + 100 * train, latents.shape)
    return latents + moved, batch_stats

  pair = shift_pair(linear_critic)
  return pair._replace(generator=pair.generator._replace(apply=apply))


def test_real_samples_for_the_generator_leave_all_other_draws_alone():
  """A loss that sees real scores, and weighs them with 0, trains as the one that does not."""
  sees_real = LOSSES["wasserstein"]._replace(
    generator=lambda fake, real: wgan_jax.wasserstein_generator_loss(fake) + 0 * jnp.mean(real),
    generator_sees_real=True,
  )

  def sample_real(key, data, batch_size):
    return jax.random.normal(key, (batch_size, 1))

  with_real, without = (
    run(Config(loss, batch_size=4, n_critic=2), translating_pair(), sample_real, n_steps=2)
    for loss in (sees_real, "wasserstein")
  )
  chex.assert_trees_all_close(with_real[1], without[1], rtol=1e-6)


def test_the_critic_sees_fakes_of_the_generators_training_mode():
  """Samples are 100 larger there: the gap of scores of a critic that is not moved shows it."""
  config = Config(penalty="none", n_critic=1, batch_size=4)
  _, (info,) = run(config, translating_pair(), hparams=Hparams(learning_rate=0.0))
  assert -110 < float(info.estimate) < -90  # c(x) = x = 1 on real samples.


def test_real_samples_that_are_no_floats_are_refused():
  """Whatever the penalty: 0 to 255 would be compared with tanh's -1 to 1."""
  images = jnp.zeros((4, 1), jnp.uint8)
  for penalty in ("none", "clip", "gp"):
    with pytest.raises(ValueError, match="got uint8: images"):
      run(Config(penalty=penalty, batch_size=4), shift_pair(linear_critic), lambda *_: images)


@pytest.mark.parametrize("penalty", ["gp", "clip"])
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_hyperparameters_of_float64_widen_no_state(penalty, optimizer):
  with jax.enable_x64(True):
    hparams = jax.tree.map(jnp.float64, HPARAMS._replace(critic_learning_rate=1e-2, decay_steps=9))
    config = Config(penalty=penalty, optimizer=optimizer, batch_size=4, n_critic=2)
    training = wgan_jax.make_training(config, PAIR, sample_points)
    to_float32 = functools.partial(
      jax.tree.map, lambda x: x.astype(jnp.float32) if x.dtype == jnp.float64 else x
    )
    start = to_float32(training.init(KEY, hparams))
    state, _ = jit(training.step)(start, hparams, points().astype(jnp.float32))
  chex.assert_trees_all_equal_dtypes(state, start)
  moved = jax.tree.map(lambda a, b: bool((a != b).any()), state.critic_params, start.critic_params)
  assert any(jax.tree.leaves(moved))


def test_a_step_passes_under_strict_promotion():
  """With an optimiser that does: optax's Adam raises its decay to an integer power."""
  config = Config(optimizer="rmsprop", batch_size=2, n_critic=1)
  with jax.numpy_dtype_promotion("strict"):
    pair = shift_pair(linear_critic)
    _, (info,) = run(config, pair, hparams=HPARAMS._replace(decay_steps=10, ema_half_life=8.0))
  assert bool(info.finite)


def test_running_statistics_move_in_the_generators_update_only():
  state, _ = run(Config(n_critic=4, batch_size=2), shift_pair(linear_critic), n_steps=3)
  assert int(state.batch_stats["count"]) == 3


# Every loss without and with the gradient penalty, every penalty with the Wasserstein loss.
PROBES = [(loss, penalty) for loss in LOSSES for penalty in ("none", "gp")]
PROBES += [("wasserstein", penalty) for penalty in PENALTIES if penalty not in ("none", "gp")]


@pytest.mark.parametrize(("loss", "penalty"), PROBES)
def test_generator_learns_where_the_data_is(loss, penalty):
  """The probe: all data at one point, g(z) = shift. One step brings the exact distance down."""
  pair = shift_pair(linear_critic)
  config = Config(loss, penalty, n_critic=20, batch_size=2)
  training = wgan_jax.make_training(
    config, pair, lambda key, data, n: jnp.broadcast_to(data, (n, 1))
  )
  hparams = HPARAMS._replace(beta2=0.999)

  cost = config.penalty_row.cost
  pulls_up = cost is not None and cost(jnp.zeros(1)) > cost(jnp.ones(1))

  def distance(target):
    state = training.init(KEY, hparams)
    # The critic starts out pointing away from the data, and must first be turned round; but for a
    # penalty that would first push the norm to 1 that way.
    start = 0.1 * target if pulls_up else -0.1 * target
    state = state._replace(critic_params={"w": start})
    state, _ = training.step(state, hparams, target)
    return jnp.abs(target - state.generator_params["shift"])

  assert (jit(jax.vmap(distance))(jnp.array([[1.0], [-1.0]])) < 1.0).all()


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_clipping_binds_every_parameter_after_the_update(optimizer):
  config = Config(penalty="clip", optimizer=optimizer, n_critic=2, batch_size=4)
  state, infos = run(config, PAIR, sample_points, data=points(), n_steps=2)
  extremes = [float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(state.critic_params)]
  assert max(extremes) == np.float32(0.01)
  assert max(jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(state.generator_params)) > 0.01
  assert infos[-1].gradient_penalty == 0
  assert infos[-1].gradient_norm_mean == 0


def test_a_fixed_generator_keeps_its_parameters_and_settles_its_statistics():
  config = Config(penalty="none", n_critic=2, batch_size=2, fixed_generator=True)
  state, _ = run(config, shift_pair(linear_critic), n_steps=3)
  assert state.generator_params["shift"] == 0
  assert state.batch_stats["count"] == 3
  assert state.critic_params["w"] != 1


@pytest.mark.parametrize(
  ("schedule", "factors"),
  [
    ("linear", [1, 0.75, 0.5, 0.25, 0, 0]),
    ("cosine", [1, 0.853553, 0.5, 0.146447, 0, 0]),
    (lambda done: 1 - done**2, [1, 0.9375, 0.75, 0.4375, 0, 0]),
  ],
)
def test_the_learning_rates_fall_by_their_schedule(schedule, factors):
  """Sign-like steps of size lr: with a constant gradient RMSProp without memory moves by lr."""
  config = Config("wasserstein", "none", "rmsprop", schedule, n_critic=1, batch_size=2)
  hparams = Hparams(0.1, beta2=0.0, decay_steps=4.0, critic_learning_rate=0.2)
  training = wgan_jax.make_training(
    config, shift_pair(linear_critic), lambda *_: jnp.full((2, 1), 1e3)
  )
  state, step = training.init(KEY, hparams), jit(training.step)
  states = [state]
  for _ in range(6):
    state, _ = step(state, hparams, None)
    states.append(state)
  weights = np.array([each.critic_params["w"].item() for each in states])
  shifts = np.array([each.generator_params["shift"].item() for each in states])
  chex.assert_trees_all_close(np.diff(weights), 0.2 * np.array(factors), rtol=1e-4, atol=1e-7)
  chex.assert_trees_all_close(np.diff(shifts), 0.1 * np.array(factors), rtol=1e-4, atol=1e-7)


def test_without_a_rate_of_its_own_the_critic_has_that_of_both():
  own = HPARAMS._replace(critic_learning_rate=HPARAMS.learning_rate)
  (init, step), data = small_training(), points()
  states = [step(init(KEY, hparams), hparams, data)[0] for hparams in (own, HPARAMS)]
  chex.assert_trees_all_equal(*states)


@pytest.mark.parametrize("half_life", [0.0, 2.0, 6.0, 1e9])
def test_the_average_halves_what_came_before_in_its_half_life(half_life):
  """Against the sum of all steps: after n images the weight of what was is 2^(-n / half_life)."""
  config = Config(penalty="none", optimizer="rmsprop", n_critic=1, batch_size=2)
  hparams = Hparams(0.1, beta2=0.0, ema_half_life=half_life)
  pair = shift_pair(linear_critic)
  training = wgan_jax.make_training(config, pair, lambda *_: jnp.full((2, 1), 1e3))
  state, step = training.init(KEY, hparams), jit(training.step)
  shifts = [state.generator_params["shift"].item()]
  kept = 2 ** (-2 / half_life) if half_life else 0.0
  for _ in range(5):
    state, _ = step(state, hparams, None)
    shifts.append(state.generator_params["shift"].item())
    weights = kept ** np.arange(len(shifts))[::-1] * np.array([1] + [1 - kept] * (len(shifts) - 1))
    params, batch_stats = state.ema
    chex.assert_trees_all_close(params["shift"].item(), weights @ shifts, rtol=1e-5)
  chex.assert_trees_all_equal_structs(batch_stats, state.batch_stats)
  latents = (pair, state, KEY, 3)
  gap = wgan_jax.generate(*latents, averaged=False) - wgan_jax.generate(*latents)
  chex.assert_trees_all_close(gap, jnp.full((3, 1), shifts[-1] - weights @ shifts), atol=1e-5)
  assert half_life or (gap == 0).all()


def test_running_statistics_are_averaged_too_and_counts_are_not():
  pair = shift_pair(linear_critic)
  generator = pair.generator

  def apply(params, batch_stats, latents, *, train):
    samples, counts = generator.apply(params, batch_stats, latents, train=train)
    return samples, counts | {"mean": batch_stats["mean"] + 1}

  def init(key):
    params, counts = generator.init(key)
    return params, counts | {"mean": jnp.zeros((), jnp.bfloat16)}

  pair = pair._replace(generator=generator._replace(init=init, apply=apply))
  config = Config(penalty="none", n_critic=1, batch_size=2)
  state, _ = run(config, pair, hparams=HPARAMS._replace(ema_half_life=2.0), n_steps=2)
  assert state.ema[1] == {"count": 2, "mean": 0.5 * (0.5 * 0 + 0.5 * 1) + 0.5 * 2}
  chex.assert_trees_all_equal_dtypes(state.ema[1], state.batch_stats)


@pytest.mark.parametrize("field", ["learning_rate", "beta1", "beta2", "lambda_gp"])
def test_every_hyperparameter_does_something(field):
  states = []
  for hparams in (HPARAMS, HPARAMS._replace(**{field: 0.3 * getattr(HPARAMS, field)})):
    state = small_training().init(KEY, hparams)
    for _ in range(2):
      state, _ = small_training().step(state, hparams, points())
    states.append(state.critic_params)
  with pytest.raises(AssertionError):
    chex.assert_trees_all_close(*states, rtol=1e-6)


def test_a_users_own_rows_are_used():
  """g(z) = shift, c(x) = w x, all data at 1, plain gradient descent: a closed form.

  The critic's loss is 2 (w fake - w real), the penalty lambda w^2 at the fake samples, and 1 is
  added to w after the update; the generator's loss is 3 w fake.
  """
  loss = Loss(
    critic=lambda real, fake: 2 * (jnp.mean(fake) - jnp.mean(real)),
    generator=lambda fake: 3 * jnp.mean(fake),
    estimate=lambda real, fake: 7 * jnp.mean(real),
    estimate_name="sevenfold_score",
    unit="scores",
  )
  penalty = Penalty(
    points=lambda key, real, fake: fake,
    cost=lambda norms: jnp.mean(norms**2),
    project=lambda params, hparams: jax.tree.map(lambda w: w + hparams.clip_value, params),
  )
  config = Config(
    loss, penalty, lambda rate, hparams: optax.sgd(rate * hparams.beta1), n_critic=1, batch_size=2
  )
  hparams = Hparams(learning_rate=0.2, beta1=0.5, lambda_gp=4.0, clip_value=1.0)
  state, (info,) = run(config, shift_pair(linear_critic), hparams=hparams)
  w = 1 - 0.1 * (-2 + 4 * 2 * 1) + 1  # From w = 1, with fake = 0.
  chex.assert_trees_all_close(state.critic_params["w"][0], w, rtol=1e-6)
  chex.assert_trees_all_close(state.generator_params["shift"][0], -0.1 * 3 * w, rtol=1e-6)
  assert info.estimate == 7
  assert info.gradient_penalty == info.gradient_norm_max == 1
  assert info.critic_loss == -2 + 4


@pytest.mark.parametrize("field", ["loss", "penalty", "optimizer"])
def test_a_row_trains_as_its_name_does(field):
  """Given as rows, the defaults of `Config` make the same bytes."""
  config = Config(batch_size=2, n_critic=2)
  row = Config(**{field: getattr(config, f"{field}_row")}, batch_size=2, n_critic=2)
  chex.assert_trees_all_equal(*(run(each, shift_pair(linear_critic)) for each in (config, row)))


def test_one_compilation_for_every_length_and_hyperparameter():
  training = wgan_jax.make_training(SMALL, PAIR, sample_points)
  chex.clear_trace_counter()
  chunk = jit(chex.assert_max_traces(n=1)(wgan_jax.make_chunk(training.step, 8)))
  state = small_training().init(KEY, HPARAMS)
  for n_steps, learning_rate in [(3, 1e-2), (8, 1e-3), (1, 1e-4)]:
    hparams = jax.tree.map(jnp.float32, HPARAMS._replace(learning_rate=learning_rate))
    state, _ = chunk(state, hparams, points(), n_steps)
  assert int(state.step) == 12


def test_chunks_compose_bitwise():
  """10 steps, 4 + 6, and a new process's worth of 10 again: the same bytes; Info row by row."""
  start, data = small_training().init(KEY, HPARAMS), points()
  whole, whole_info = small_chunk()(start, HPARAMS, data, 10)
  again, _ = small_chunk()(start, HPARAMS, data, 10)
  half, first = small_chunk()(start, HPARAMS, data, 4)
  rest, second = small_chunk()(half, HPARAMS, data, 6)
  chex.assert_trees_all_equal(whole, again, rest)
  joined = jax.tree.map(lambda a, b: np.concatenate([a[:4], b[:6]]), first, second)
  chex.assert_trees_all_equal(jax.tree.map(lambda a: a[:10], whole_info), joined)
  assert not whole_info.finite[10:].any()


def test_chunk_equals_a_python_loop():
  start = state = small_training().init(KEY, HPARAMS)
  losses = []
  for _ in range(5):
    state, info = small_training().step(state, HPARAMS, points())
    losses.append(float(info.critic_loss))
  chunked, info = small_chunk()(start, HPARAMS, points(), 5)
  chex.assert_trees_all_close(chunked.critic_params, state.critic_params, rtol=1e-3, atol=1e-5)
  chex.assert_trees_all_close(info.critic_loss[:5], np.float32(losses), rtol=1e-3, atol=1e-5)


def test_different_seeds_start_and_draw_differently():
  one, two = (small_training().init(jax.random.key(seed), HPARAMS) for seed in (0, 1))
  for params in ("critic_params", "generator_params"):
    kernels = [getattr(state, params)["Dense_0"]["kernel"] for state in (one, two)]
    assert not jnp.allclose(*kernels)
  assert (jax.random.key_data(one.key) != jax.random.key_data(two.key)).any()


def test_samples_of_a_state_are_drawn_in_sampling_mode():
  """A function of the key alone, with the running statistics."""
  pair = translating_pair()
  state = wgan_jax.make_training(SMALL, pair, ones).init(KEY, HPARAMS)
  state = state._replace(batch_stats={"count": 5}, ema=(state.ema[0], {"count": 7}))
  latents = jax.random.normal(KEY, (3, 1))
  chex.assert_trees_all_equal(wgan_jax.generate(pair, state, KEY, 3), latents + 7)
  last = wgan_jax.generate(pair, state, KEY, 3, averaged=False)
  chex.assert_trees_all_equal(last, latents + 5)


def test_a_non_finite_loss_is_reported_at_its_step():
  training = small_training()
  state, info = training.step(training.init(KEY, HPARAMS), HPARAMS, points())
  assert bool(info.finite)
  _, info = training.step(state, HPARAMS, points().at[:].set(jnp.nan))
  assert not bool(info.finite)


def test_a_non_finite_parameter_is_reported_before_any_loss_shows_it():
  """An infinite learning rate: the losses of the first step are finite, the generator is not."""
  pair = shift_pair(lambda params, x: x[0])
  pair = pair._replace(critic=pair.critic._replace(init=lambda key: {}))
  hparams = HPARAMS._replace(learning_rate=jnp.inf)
  _, (info,) = run(Config(batch_size=2, penalty="none"), pair, hparams=hparams)
  assert np.isfinite([info.critic_loss, info.generator_loss]).all()
  assert not bool(info.finite)


def test_a_non_finite_critic_loss_is_reported_while_all_parameters_are_finite():
  """A score that overflows on real data only, with a finite slope."""
  pair = shift_pair(
    lambda params, x: jnp.where(x[0] > 0.5, jnp.inf, 0.0) + linear_critic(params, x)
  )
  state, (info,) = run(Config(batch_size=2, penalty="none"), pair)
  chex.assert_tree_all_finite((state.critic_params, state.generator_params, info.generator_loss))
  assert not bool(info.finite)


def test_the_critics_metrics_are_of_its_last_update():
  """w rises by 0.2 in each of three updates, after its score of 1 on real samples is taken."""
  config = Config(penalty="none", n_critic=3, batch_size=2)
  _, (info,) = run(config, shift_pair(linear_critic), hparams=Hparams(0.2, beta1=0.0, beta2=0.0))
  np.testing.assert_allclose([info.estimate, info.critic_loss], [1.4, -1.4], rtol=1e-5)


@pytest.mark.parametrize("early", [True, False])
def test_a_non_finite_loss_of_one_critic_update_is_reported(early):
  """Of the first or the second of two: w moves from 1 to 1.2, and scores overflow on one side."""
  pair = shift_pair(
    lambda params, x: (
      jnp.where((x[0] > 0.5) & ((params["w"][0] < 1.1) == early), jnp.inf, 0.0)
      + linear_critic(params, x)
    )
  )
  hparams = Hparams(0.2, beta1=0.0, beta2=0.0)
  _, (info,) = run(Config(penalty="none", n_critic=2, batch_size=2), pair, hparams=hparams)
  assert np.isfinite(info.critic_loss) == early
  assert not bool(info.finite)


@pytest.mark.parametrize(
  "part", ["critic", "critic's optimiser", "loss", "generator's optimiser", "batch_stats"]
)
def test_what_overflows_alone_is_reported(part):
  """A parameter that no score shows, a slope of 1e25 that Adam squares, and the generator's own."""
  pair, loss, project = shift_pair(linear_critic), LOSSES["wasserstein"], None
  if part == "critic":
    critic = pair.critic._replace(init=lambda key: {"w": jnp.ones(1), "unused": jnp.ones(1)})
    pair = pair._replace(critic=critic)

    def project(params, hparams):
      return params | {"unused": jnp.full(1, jnp.inf)}

  elif part == "critic's optimiser":
    loss = loss._replace(critic=lambda real, fake: 1e25 * (jnp.mean(fake) - jnp.mean(real)))
  elif part == "loss":
    loss = loss._replace(generator=lambda fake: jnp.inf - jnp.mean(fake))
  elif part == "generator's optimiser":
    loss = loss._replace(generator=lambda fake: 1e25 * jnp.mean(fake))
  else:
    shift = pair.generator
    pair = pair._replace(
      generator=shift._replace(
        init=lambda key: (shift.init(key)[0], {"count": jnp.zeros(())}),
        apply=lambda params, stats, z, *, train: (
          shift.apply(params, stats, z, train=train)[0],
          {"count": stats["count"] + jnp.inf},
        ),
      )
    )
  config = Config(loss, Penalty(project=project), n_critic=1, batch_size=2)
  state, (info,) = run(config, pair)
  chex.assert_tree_all_finite((state.critic_params["w"], state.generator_params, info.critic_loss))
  assert np.isfinite(info.generator_loss) == (part != "loss")
  assert not bool(info.finite)


def test_an_overflow_in_the_optimiser_is_reported_though_the_parameters_stand_still():
  """A slope of 1e25 squares to infinity: Adam then moves nothing, for ever."""
  pair = shift_pair(lambda params, x: 1e25 * linear_critic(params, x))
  state, (info,) = run(Config(batch_size=2, penalty="none", n_critic=1), pair)
  chex.assert_tree_all_finite((state.critic_params, info.critic_loss))
  assert not bool(info.finite)


def test_real_samples_of_another_shape_than_the_generators_are_refused():
  """Also where a critic takes both."""
  pair = shift_pair(lambda params, x: params["w"][0] * jnp.sum(x))
  for shape in ((2, 2), (2, 1, 1), (3, 1)):
    with pytest.raises(AssertionError, match="shape"):
      run(Config(penalty="none", batch_size=2), pair, lambda *_, shape=shape: jnp.ones(shape))


def test_a_first_state_can_be_donated():
  """Its average is a copy: no buffer is in it twice."""
  state = wgan_jax.make_training(SMALL, shift_pair(linear_critic), ones).init(KEY, HPARAMS)
  averaged, current = state.ema, (state.generator_params, state.batch_stats)
  chex.assert_trees_all_equal(averaged, current)
  for ours, theirs in zip(jax.tree.leaves(averaged), jax.tree.leaves(current), strict=True):
    assert ours.unsafe_buffer_pointer() != theirs.unsafe_buffer_pointer()


def test_no_key_is_used_twice():
  with jax.debug_key_reuse(True):
    config = Config("relativistic_average", "dragan", batch_size=2, n_critic=2)
    training = wgan_jax.make_training(config, shift_pair(linear_critic), ones)
    state = training.init(jax.random.key(1), HPARAMS)
    jit(training.step)(state, HPARAMS, None)


def test_vmap_over_hyperparameters_trains_each_member_alone():
  """Two learning rates in one program; the member that diverges leaves its neighbour alone."""
  training = wgan_jax.make_training(SMALL, PAIR, sample_points)
  axes = Hparams(0, *[None] * (len(Hparams._fields) - 1))
  hparams = HPARAMS._replace(learning_rate=jnp.array([1e-2, jnp.inf]))
  start = small_training().init(KEY, HPARAMS)
  states, info = jit(jax.vmap(training.step, (None, axes, None)))(start, hparams, points())
  assert info.finite.tolist() == [True, False]
  solo, _ = small_training().step(start, HPARAMS, points())
  first = jax.tree.map(lambda leaf: leaf[0], states.critic_params)
  chex.assert_trees_all_close(first, solo.critic_params, rtol=1e-3)

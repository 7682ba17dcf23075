"""Types that the whole library shares: networks, and the state and metrics of a training."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import optax

from wgan_jax.layers import Layer

Params = chex.ArrayTree

CriticFn = Callable[..., jax.Array]
"""Maps ONE sample [...] to ONE score []; a conditional one takes the sample's class after it. A
critic that couples the samples of a batch (batch normalisation) has no such form, and the gradient
penalty is invalid for it."""


class Network(NamedTuple):
  """A network as two pure functions.

  A critic is `init(key) -> params` and `apply(params, x) -> score`, for one sample [...] -> [].
  A generator is `init(key) -> (params, batch_stats)` and
  `apply(params, batch_stats, latents, *, train) -> (samples, batch_stats)`, for a batch
  [batch, latent_dim] -> [batch, ...]. Without batch normalisation `batch_stats` is an empty dict.

  A conditional network takes the class of its sample, an integer [], after it, and a conditional
  generator the classes [batch] of the samples after the latents: `apply(params, x, label)` and
  `apply(params, batch_stats, latents, labels, *, train)`.

  `layers(params)`, where given, lists the critic's layers, input to output. Applied in turn, they
  equal `apply`.

  `classify(params, x) -> (score [], logits [n_classes])`, where given, is the critic with an
  auxiliary classifier (AC-GAN) of ONE sample; the score is that of `apply`.
  """

  init: Callable[..., Any]
  apply: Callable[..., Any]
  layers: Callable[[Params], Sequence[Layer]] | None = None
  classify: Callable[[Params, jax.Array], tuple[jax.Array, jax.Array]] | None = None


class Pair(NamedTuple):
  """A critic and a generator that fit together.

  Attributes:
    critic: the critic; with a cross-entropy loss the discriminator, its score a logit.
    generator: the generator, whose samples have the shape that the critic takes.
    latent_dim: the size of the latent z ~ N(0, I).
    n_classes: the classes of a conditional pair, whose networks take a class beside the sample or
      the latent; 0 for networks that take none.
  """

  critic: Network
  generator: Network
  latent_dim: int
  n_classes: int = 0


class State(NamedTuple):
  """State of a training run: all that the next step needs and a checkpoint holds, arrays only.

  Attributes:
    step: steps done, int32 [].
    key: the root key of all draws; step t draws from `fold_in(key, t)`.
    critic_params: the critic's parameters.
    generator_params: the generator's parameters.
    batch_stats: the generator's running statistics, moved by its own updates only.
    critic_opt_state: the critic's optimiser state.
    generator_opt_state: the generator's optimiser state.
    ema: the moving averages of `generator_params` and `batch_stats`, see `Hparams.ema_half_life`.
  """

  step: jax.Array
  key: jax.Array
  critic_params: Params
  generator_params: Params
  batch_stats: chex.ArrayTree
  critic_opt_state: optax.OptState
  generator_opt_state: optax.OptState
  ema: tuple[Params, chex.ArrayTree]


class Info(NamedTuple):
  """Metrics of one step: float32 scalars, except `finite`.

  Critic metrics come from the step's last critic update, on its training batch and before the
  update.

  Attributes:
    estimate: the loss's estimate, such as E c(x) - E c(g(z)); `Loss.estimate_name` says of what.
    gradient_penalty: the bare penalty, without its weight; 0 where there is none.
    critic_loss: what the critic minimised, lambda_gp times the penalty included.
    generator_loss: what the generator minimised.
    gradient_norm_mean: mean gradient norm at the penalty's points, such as x_hat; 0 without a
      penalty.
    gradient_norm_max: largest gradient norm at these points; 0 without a penalty.
    finite: bool, whether the losses of every update and the whole updated state are finite.
  """

  estimate: jax.Array
  gradient_penalty: jax.Array
  critic_loss: jax.Array
  generator_loss: jax.Array
  gradient_norm_mean: jax.Array
  gradient_norm_max: jax.Array
  finite: jax.Array


SampleRealFn = Callable[[jax.Array, Any, int], Any]
"""(key, data, batch_size) -> real samples, [batch_size, ...]; for conditional networks a pair of
these and their classes, integers [batch_size]."""


class Training(NamedTuple):
  """A training algorithm as two pure functions.

  Attributes:
    init: (key, hparams) -> State, for `wgan_jax.Hparams`.
    step: (state, hparams, data) -> (State, Info). `data` is an argument and never captured:
      captured, it would become a constant of the program.
  """

  init: Callable[[jax.Array, Any], State]
  step: Callable[[State, Any, Any], tuple[State, Info]]

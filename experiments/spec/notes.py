"""What is said of a run's choices before it starts: of clipping, and warnings."""

import scipy  # Its modules are loaded at their first use.

from experiments.spec.settings import Settings
from wgan_jax import minimax_generator_loss, wasserstein_estimate
from wgan_jax.lipschitz import bound_clipped


def describe_clipping(settings: Settings) -> str:
  """What is known of a clipped critic before its training, in words; empty where nothing is."""
  choices = settings.choices
  if "clip_value" not in choices.row("penalty").reads or choices.is_by_construction:
    return ""
  try:
    bound = bound_clipped(settings.networks().critic, settings.sample_shape)
  except ValueError:
    return ""
  high = 1.0
  while bound(high) < 1:
    high *= 2
  unit = scipy.optimize.brentq(lambda c: bound(c) - 1, 0, high, xtol=1e-300, rtol=1e-12)
  c, steepest = f"{settings.clip_value:g}", f"{bound(settings.clip_value):.4g}"
  return (
    f"clipped to [-{c}, {c}] the critic is at most {steepest}-Lipschitz, certified: its estimate"
    f" over {steepest} is at most the distance (1-Lipschitz: --clip_value={unit:.4g})"
  )


def notes(settings: Settings, steps: int) -> list[str]:
  """Warnings, one line each, of choices that a paper advises against, or that waste steps."""
  choices = settings.choices
  loss, penalty = choices.row("loss"), choices.row("penalty")
  found = [
    (settings.decay_steps is not None and settings.decay_steps < steps,
      f"the learning rate is 0 after step {settings.decay_steps}: of {steps} steps the rest change"
      " nothing"),
    ((settings.ema_half_life or 0) > steps * settings.batch_size,
      f"the run's {steps * settings.batch_size} images are fewer than --ema_half_life: the averaged"
      " generator is mostly that of the start"),
    (loss.estimate is wasserstein_estimate and not choices.is_wasserstein,
      "no Lipschitz constraint: the estimate is not a distance and may grow without bound"
      " (Arjovsky et al., 2017, section 3)"),
    ("clip_value" in penalty.reads and settings.beta1,
      "a critic under clipping can become unstable with momentum; the paper uses RMSProp"
      " (Arjovsky et al., 2017, section 4)"),
    (choices.is_by_construction and settings.compute_dtype != "float32",
      f"in {settings.compute_dtype} kernels are rounded to above their bound: the critic that is"
      " trained is 1-Lipschitz to two digits only, the one that is measured exactly"),
    (loss.generator is minimax_generator_loss,
      "the minimax loss saturates where the discriminator is sure; its authors train with the"
      " non-saturating one (Goodfellow et al., 2014, section 3)"),
  ]  # fmt: skip
  return [note for applies, note in found if applies]

"""Warnings about settings that a paper advises against, or that waste steps."""

from experiments.spec.settings import Settings
from wgan_jax.losses import minimax_generator_loss, wasserstein_estimate


def notes(settings: Settings, steps: int) -> list[str]:
  """Warnings, one line each, of choices that a paper advises against, or that waste steps."""
  loss, penalty = settings.choices.row("loss"), settings.choices.row("penalty")
  notes = []
  if 0 < settings.decay_steps < steps:
    notes.append(
      f"the learning rate is 0 after step {settings.decay_steps}: of {steps} steps the rest change"
      " nothing"
    )
  if loss.estimate is wasserstein_estimate and not settings.choices.is_wasserstein:
    notes.append(
      "no Lipschitz constraint: the estimate is not a distance and may grow without bound"
      " (Arjovsky et al., 2017, section 3)"
    )
  if "clip_value" in penalty.reads and settings.beta1:
    notes.append(
      "a critic under clipping can become unstable with momentum; the paper uses RMSProp"
      " (Arjovsky et al., 2017, section 4)"
    )
  if loss.generator is minimax_generator_loss:
    notes.append(
      "the minimax loss saturates where the discriminator is sure; its authors train with the"
      " non-saturating one (Goodfellow et al., 2014, section 3)"
    )
  return notes

"""Whole methods by name: a loss alone, or a penalty with the loss of its paper."""

from wgan_jax.losses import LOSSES
from wgan_jax.penalties import PENALTIES

# The penalties that their papers add to a cross-entropy loss.
_OF_CROSS_ENTROPY = ("r1", "r2", "dragan")
METHODS = {
  **{loss: (loss, "none") for loss in LOSSES if loss != "wasserstein"},
  **{
    penalty: ("nonsaturating" if penalty in _OF_CROSS_ENTROPY else "wasserstein", penalty)
    for penalty in PENALTIES
  },
}
"""By name, a loss and a penalty."""

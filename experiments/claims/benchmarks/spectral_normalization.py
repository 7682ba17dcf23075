"""Spectral normalisation against clipping and the penalty, in the same time."""

from experiments.claims.claim import Claim, verdict
from experiments.claims.race import SCALES, means, race

_WORDS = {"clip": "clipping", "gp": "penalty", "spectral": "spectral norm"}


def _measure(lab, **arguments):
  return race(lab, _WORDS, **arguments)


def _criterion(numbers):
  distances = {name: means(numbers, name, "frechet") for name in _WORDS}
  precision, recall = (
    ", ".join(f"{words} {means(numbers, name, key):.2f}" for name, words in _WORDS.items())
    for key in ("precision", "recall")
  )
  seen = ", ".join(f"{words} {distances[name]:.0f}" for name, words in _WORDS.items())
  return verdict(
    all(distances["spectral"] <= 1.1 * distances[name] for name in ("clip", "gp")),
    f"Mean Fréchet distances: {seen}. Precision: {precision}. Recall: {recall}.",
  )


CLAIM = Claim(
  _measure, _criterion, name="spectral_normalization", place=3,
  source="Miyato et al., Spectral Normalization for GANs, 2018, arXiv 1802.05957, section 4",
  sentence="Spectral normalisation gives samples that are at least as good as those of weight"
  " clipping and of the gradient penalty.",
  settings="DCGAN, batch 32, 5 critic updates, rate 1e-3, W-loss; clipping at 0.01 with RMSProp,"
  " penalty with lambda 10. Each for the same time, in which spectral normalisation does more"
  " steps than the penalty. The source has CIFAR-10 and STL-10, the hinge and the cross-entropy"
  " loss, equal steps, and normalises a convolution's reshaped kernel, which does not bound it;"
  " here its operator norm is bounded, and MaxMin stands for leaky ReLU.",
  criterion_text="Every seed finishes, and the mean Fréchet distance of spectral normalisation is"
  " at most 1.1 times that of clipping and that of the penalty.",
  **SCALES, minutes=dict(quick=1.9, full=160.0),
)  # fmt: skip

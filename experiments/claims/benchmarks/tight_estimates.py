"""A critic that comes closer to the distance, in the same time: are its samples any better?"""

from experiments.claims.claim import Claim, verdict
from experiments.claims.race import SCALES, means, race

_WORDS = {"gp": "penalty", "orthonormal": "orthonormal"}


def _measure(lab, **arguments):
  return race(lab, _WORDS, **arguments)


def _criterion(numbers):
  proven = {name: means(numbers, name, "proven") for name in _WORDS}
  distances = {name: means(numbers, name, "frechet") for name in _WORDS}
  seen = ", ".join(
    f"{words} {proven[name]:.4f} and {distances[name]:.0f}" for name, words in _WORDS.items()
  )
  tight = proven["orthonormal"] >= 3 * proven["gp"]
  return verdict(
    tight and distances["orthonormal"] >= 0.9 * distances["gp"],
    f"Certified share of the samples' exact distance, and mean Fréchet distance: {seen}.",
  )


CLAIM = Claim(
  _measure, _criterion, name="tight_estimates", place=4,
  source="Stanczuk, Etmann, Kreusser and Schönlieb, Wasserstein GANs Work Because They Fail (to"
  " Approximate the Wasserstein Distance), 2021, arXiv 2103.01678",
  sentence="A critic that comes closer to the Wasserstein distance does not give better samples.",
  settings="DCGAN, batch 32, 5 critic updates, Adam at 1e-3, each for the same time; what a critic"
  " certifies stands for how close it comes. The source compares the penalty with solvers of"
  " optimal transport.",
  criterion_text="Every seed finishes; orthonormal kernels certify at least 3 times the share of"
  " the samples' exact distance that the penalty does, and their mean Fréchet distance is at least"
  " 0.9 times the penalty's.",
  **SCALES, minutes=dict(quick=1.5, full=160.0),
)  # fmt: skip

"""Claims of the course and the papers: a folder for each source, a file for each claim.

A new claim is one new file: it is found by its place in these folders.
"""

import importlib
import pathlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Names alone are to be had without JAX and matplotlib.
  from experiments.claims.claim import Claim

SOURCES = ("course", "wgan", "wgan_gp", "benchmarks")


def find_names() -> dict[str, str]:
  """Maps each claim's name to its source, by the files that there are; imports none of them."""
  folder = pathlib.Path(__file__).parent
  return {
    module.name: source
    for source in SOURCES
    for module in pkgutil.iter_modules([str(folder / source)])
  }


def load_claims() -> "dict[str, Claim]":
  """Imports all claims, in reading order: by source, and by each claim's `place` in it."""
  sources = find_names()
  claims = {
    name: importlib.import_module(f"{__name__}.{source}.{name}").CLAIM
    for name, source in sources.items()
  }
  order = sorted(claims, key=lambda name: (SOURCES.index(sources[name]), claims[name].place, name))
  return {name: claims[name] for name in order}

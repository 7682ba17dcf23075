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
  found = {source: pkgutil.iter_modules([str(folder / source)]) for source in SOURCES}
  return {module.name: source for source, modules in found.items() for module in modules}


def load_claims() -> "dict[str, Claim]":
  """Imports all claims, in reading order: by source, and by each claim's `place` in it."""
  found = []
  for name, source in find_names().items():
    claim = importlib.import_module(f"{__name__}.{source}.{name}").CLAIM
    found.append((SOURCES.index(source), claim.place, name, claim))
  return {name: claim for *_, name, claim in sorted(found, key=lambda row: row[:3])}

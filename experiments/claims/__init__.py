"""The claims of the course and the papers: a folder a source, a file a claim."""

import importlib
import pkgutil

from experiments.claims.claim import Claim

_SOURCES = ("course", "wgan", "wgan_gp", "benchmarks")


def _find_modules() -> dict[str, str]:
  """By claim, the module that defines it."""
  found = {}
  for source in _SOURCES:
    package = importlib.import_module(f"{__name__}.{source}")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
      found[module.name.rpartition(".")[2]] = module.name
  return found


_MODULES = _find_modules()
NAMES = tuple(_MODULES)


def load_claim(name: str) -> Claim:
  """The claim of a name in `NAMES`."""
  return importlib.import_module(_MODULES[name]).CLAIM

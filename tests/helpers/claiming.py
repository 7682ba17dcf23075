"""Helpers for the tests of claims: criteria on changed numbers, and runs at the tiny scale."""

import copy
import functools
import json
import math

from experiments.claims import load_claims
from experiments.claims.claim import OUTCOMES
from experiments.claims.lab import Lab
from experiments.host.environment import describe_environment


@functools.cache
def all_claims():
  """All claims by name, imported once."""
  return load_claims()


def outcome(name, numbers):
  """The outcome of a claim's criterion."""
  return all_claims()[name].criterion(numbers).outcome


def changed(numbers, *path_and_value):
  """A copy with one value changed."""
  *path, last, value = path_and_value
  numbers = copy.deepcopy(numbers)
  there = numbers
  for key in path:
    there = there[key]
  there[last] = value
  return numbers


def check_clauses(name, numbers, changes):
  """Checks that the numbers reproduce the claim, and that no changed ones do."""
  assert outcome(name, numbers) == "reproduced"
  for change in changes:
    assert outcome(name, changed(numbers, *change)) == "not reproduced", change


def run_tiny(name, folder):
  """Runs a claim at the tiny scale, and checks everything that holds of any claim's evidence."""
  claim = all_claims()[name]
  evidence = claim.measure(Lab(folder, None, describe_environment()), **claim.arguments("tiny"))
  numbers = json.loads(json.dumps(evidence.numbers))
  assert claim.criterion(numbers).outcome in OUTCOMES
  # The criterion sees the same in what is recorded and in what was run.
  assert claim.criterion(numbers) == claim.criterion(evidence.numbers)
  assert evidence.table
  for row in evidence.table:
    assert list(row) == list(evidence.table[0])
    assert all(isinstance(cell, str) or math.isfinite(cell) for cell in row.values())
  for picture in evidence.pictures:
    assert picture.png.startswith(b"\x89PNG")
    assert picture.caption.endswith(".")
  return evidence

"""What the tests of all claims share."""

import copy
import json
import math

from experiments.claims import load_claim
from experiments.claims.claim import VERDICTS
from experiments.claims.lab import Lab


def judged(name, numbers):
  return load_claim(name).judge(numbers).verdict


def changed(numbers, *path_and_value):
  """A copy with one value changed."""
  *path, last, value = path_and_value
  numbers = copy.deepcopy(numbers)
  there = numbers
  for key in path:
    there = there[key]
  there[last] = value
  return numbers


def check_variants(name, numbers, variants):
  assert judged(name, numbers) == "reproduced"
  for variant in variants:
    assert judged(name, changed(numbers, *variant)) == "not reproduced", variant


def measured(name, tmp_path, **smaller):
  """The evidence of a run at quick scale but for what is given, and all that holds of any."""
  claim = load_claim(name)
  quick = claim.scales["quick"]
  assert set(smaller) <= set(quick) == set(claim.scales["full"])
  evidence = claim.measure(Lab(tmp_path, None, {}), **quick | smaller)
  numbers = json.loads(json.dumps(evidence.numbers))
  assert claim.judge(numbers).verdict in VERDICTS
  assert claim.judge(numbers) == claim.judge(evidence.numbers)  # What is recorded, and what is run.
  assert evidence.table
  for row in evidence.table:
    assert list(row) == list(evidence.table[0])
    assert all(isinstance(cell, str) or math.isfinite(cell) for cell in row.values())
  for picture in evidence.pictures:
    assert picture.png.startswith(b"\x89PNG")
    assert picture.caption.endswith(".")
  return evidence

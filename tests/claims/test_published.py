"""The published verdicts follow from the published numbers, by today's criteria."""

import json
import pathlib

import pytest
from helpers.claiming import all_claims

from experiments.claims import find_names

ROOT = pathlib.Path(__file__).parents[2]
PUBLISHED = json.loads((ROOT / "docs" / "reproduction" / "results.json").read_text())["claims"]


def test_they_are_all_claims_in_reading_order():
  assert list(PUBLISHED) == list(all_claims())


@pytest.mark.parametrize("name", sorted(find_names()))
def test_the_recorded_numbers_give_the_recorded_verdict(name):
  result = PUBLISHED[name]
  assert all_claims()[name].criterion(result["numbers"]) == (result["verdict"], result["seen"])


@pytest.mark.parametrize("name", sorted(find_names()))
def test_they_were_run_at_todays_scales(name):
  claim, asked = all_claims()[name], dict(PUBLISHED[name]["asked"])
  assert asked == json.loads(
    json.dumps({"scale": asked["scale"]} | claim.arguments(asked["scale"]))
  )

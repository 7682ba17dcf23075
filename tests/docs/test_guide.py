"""The guide: its commands parse, its names and files exist, its rows are complete."""

import importlib
import pathlib
import re

from experiments.claims import find_names

DOCS = pathlib.Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "guide.md").read_text(encoding="utf-8")


def test_every_row_has_its_claim():
  rows = re.findall(r"^## (\d+)\. .*?(?=^## )", GUIDE, re.MULTILINE | re.DOTALL)
  assert rows == [str(i) for i in range(1, 13)]
  claims = re.findall(r"--claim=(\w+)", GUIDE)
  assert len(claims) == 13  # One a row, and the exercise's.
  assert "course_exercise" in claims
  assert set(claims) <= set(find_names())


def test_names_are_the_library_s():
  names = re.findall(r"`(wgan_jax(?:\.\w+)+)`", GUIDE)
  assert len(names) > 20
  for name in names:
    found = importlib.import_module("wgan_jax")
    for part in name.split(".")[1:]:
      found = getattr(found, part)

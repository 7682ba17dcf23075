"""Hostile files for every reader: samples from elsewhere, and each JSON file of each launcher."""

import itertools
import json
import random
import shutil

import numpy as np
import pytest
from helpers.attacking import (
  SURVIVED,
  TRACEBACK,
  WRONG,
  Hang,
  contents,
  instant_claims,
  judge,
  launched,
  time_limit,
)
from helpers.counting import counting
from helpers.hostile import archive, hostile_json, npy, sample_files
from helpers.launching import TINY, copy_run, copy_sweep

from experiments import benchmark, evaluate, mnist, reproduce, sample, sweep
from experiments.host.errors import UserError
from experiments.report import evaluation, html
from experiments.spec.datasets import load_dataset
from experiments.speed.rows import Row
from experiments.speed.turns import Measurement, MedianRange

pytestmark = pytest.mark.campaign

N_SAMPLE_FILES, N_LAUNCHED, N_JSON = 3000, 20, 250  # The last for each of eight files.
GOOD = np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1), np.uint8)


def hostile_samples(n):
  return enumerate(itertools.islice(sample_files(GOOD, random.Random(0)), n))


def test_hostile_samples_are_refused_by_the_name_of_their_file(counted, tmp_path, capsys):
  path, digits = tmp_path / "file.npz", load_dataset("digits")
  path.write_bytes(archive({"images.npy": npy(GOOD)}))
  right = evaluation.read_samples(path, digits)
  with counted("hostile sample files") as tally:
    for number, (name, content) in hostile_samples(N_SAMPLE_FILES):
      path.write_bytes(content)
      error = ""
      try:
        with time_limit(20):
          read = evaluation.read_samples(path, digits)
        # A bit that says nothing of the arrays may flip; other arrays hold other, finite numbers.
        is_damage = "flip" in name or "cut" in name or "flags" in name
        whole = np.array_equal(read, right) if is_damage else np.isfinite(read).all()
        word = SURVIVED if whole else WRONG
      except UserError as refusal:
        error = str(refusal)
        word = SURVIVED if path.name in error and "\n" not in error else TRACEBACK
      except (Exception, Hang) as other:
        word, error = TRACEBACK, repr(other)
      tally.add(word, f"file {number}, {name}", error)
  capsys.readouterr()


def test_evaluate_refuses_hostile_samples_in_one_line(counted, tmp_path):
  path, out = tmp_path / "file.npz", tmp_path / "out"
  files = (each for each in hostile_samples(N_SAMPLE_FILES) if "flip" not in each[1][0])
  with counted("hostile sample files") as tally:
    for number, (name, content) in itertools.islice(files, 1, N_LAUNCHED):
      path.write_bytes(content)
      ended = launched(evaluate, f"--samples={path}", "--dataset=digits", f"--out={out}")
      word = judge(ended, lambda: (out / "evaluation.json").exists(), path.name)
      tally.add(word, f"file {number}, {name}", ended.err)
      shutil.rmtree(out, ignore_errors=True)


def attack(tally, source, path, place, launch_in, seed, check=lambda ended: True):
  """Starts a launcher in copies of a folder, with hostile forms of one of its files."""
  content, rng = (source / place).read_bytes(), random.Random(seed)
  outside = contents(path.parent)
  for number in range(N_JSON):
    name, damage = hostile_json(content, rng)
    shutil.copytree(source, path)
    (path / place).write_bytes(damage)
    ended = launch_in(path)
    word = judge(ended, lambda ended=ended: check(ended))
    shutil.rmtree(path)
    if word == SURVIVED and contents(path.parent) != outside:
      word = WRONG
    tally.add(word, f"{place} {number}, {name}: {damage[:300]}", ended.err)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  """-> a run that counted, a run and a sweep."""
  folder = tmp_path_factory.mktemp("folders")
  with counting():
    assert launched(mnist, *TINY, "--steps=7", f"--workdir={folder / 'counted'}").status == 0
  copy_run(folder / "run", "--steps=4", "--checkpoint_every=4")
  copy_sweep(folder / "sweep", "--steps=4", "--checkpoint_every=4", "--clip_value=0.01")
  return folder


@pytest.mark.parametrize("place", ["config.json", "metrics.jsonl", "timing.jsonl", "summary.json"])
def test_a_run_in_a_hostile_folder_ends_in_one_line(counted, folders, tmp_path, place):
  def go_on(path):
    return launched(mnist, *TINY, "--steps=10", f"--workdir={path}")

  with counted("hostile JSON") as tally, counting():
    attack(tally, folders / "counted", tmp_path / "run", place, go_on, seed=1)


def test_sample_of_a_hostile_record_ends_in_one_line(counted, folders, tmp_path):
  def draw(path):
    return launched(sample, f"--workdir={path}", "--n=1", f"--out={path}/drawn.npz")

  with counted("hostile JSON") as tally:
    attack(tally, folders / "run", tmp_path / "run", "config.json", draw, seed=2)


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "timing.jsonl", "summary.json"])
def test_a_report_of_a_hostile_sweep_ends_in_one_line(
  counted, folders, tmp_path, monkeypatch, name
):
  for drawn in ("draw_curves", "draw_sensitivity"):  # Pictures take most of the time.
    monkeypatch.setattr(html, drawn, lambda *_: [])
  source = folders / "sweep"
  place = name
  if name in ("metrics.jsonl", "summary.json"):
    member = min((source / "members").iterdir())
    place = (member / name).relative_to(source)

  def report(path):
    return launched(sweep, "--report_only", f"--workdir={path}")

  with counted("hostile JSON") as tally:
    attack(tally, source, tmp_path / "sweep", place, report, seed=3)


def test_claims_in_a_hostile_folder_end_in_one_line(counted, tmp_path, monkeypatch):
  claims = instant_claims()
  monkeypatch.setattr(reproduce, "find_names", lambda: claims)
  monkeypatch.setattr(reproduce, "load_claims", lambda: claims)

  def run(path):
    return launched(reproduce, "--claim=second", f"--workdir={path}", "--compilation_cache=none")

  source = tmp_path / "source"
  first = launched(reproduce, "--claim=first", f"--workdir={source}", "--compilation_cache=none")
  assert first.status == 0, first.err
  with counted("hostile JSON") as tally:
    attack(tally, source, tmp_path / "reproduction", "results.json", run, seed=4)


def test_a_benchmark_in_a_hostile_folder_ends_in_one_line(counted, tmp_path, monkeypatch):
  measured = Measurement(MedianRange(1.0, 2.0, 4.0), "ms", {})
  rows = {name: Row(name, name, lambda rounds: measured) for name in ("first", "second")}
  monkeypatch.setattr(benchmark, "ROWS", rows)
  source = tmp_path / "source"
  assert launched(benchmark, "--rows=first", f"--workdir={source}").status == 0

  def run(path):
    return launched(benchmark, "--rows=second", f"--workdir={path}")

  with counted("hostile JSON") as tally:
    attack(tally, source, tmp_path / "benchmark", "benchmark.json", run, seed=5)


def test_strict_json_is_what_launchers_write(folders):
  """No reader of another language meets a number that JSON does not have."""

  def refuse(word):
    raise ValueError(word)

  files = [path for path in folders.rglob("*.json*") if "checkpoints" not in path.parts]
  assert files
  for path in files:
    text = path.read_text()
    for line in text.splitlines() if path.suffix == ".jsonl" else [text]:
      json.loads(line, parse_constant=refuse)

"""Folders of strangers: links, pipes and names that lead outside, where all stays as it is."""

import base64
import json
import os
import shutil

import pytest
from helpers.attacking import LOST, SURVIVED, TRACEBACK, WRONG, contents, instant_claims, launched
from helpers.counting import CountingEngine, counting
from helpers.launching import TINY, copy_run, copy_sweep

from experiments import benchmark, evaluate, mnist, reproduce, sample, sweep
from experiments.figures import curves
from experiments.host import files
from experiments.speed.rows import Row
from experiments.speed.turns import Measurement, MedianRange

pytestmark = pytest.mark.campaign

SECRET = b"\x89PNG a secret that no report may hold"

PLANTS = {
  "a link to a file": lambda path, precious: path.symlink_to(precious / "thesis.tex"),
  "a link to a folder": lambda path, precious: path.symlink_to(precious / "2019"),
  "a link to nothing": lambda path, precious: path.symlink_to(precious / "new"),
  "a link to itself": lambda path, precious: path.symlink_to(path),
  "a hard link": lambda path, precious: os.link(precious / "thesis.tex", path),
  "a pipe": lambda path, precious: os.mkfifo(path),
  "a folder of others": lambda path, precious: shutil.copytree(precious, path),
}
IN_RUNS = [
  ".lock", "config.json", "metrics.jsonl", "timing.jsonl", "summary.json", "curves.png", "samples",
  "samples/step_000007.png", "samples/step_000010.png", "samples/.step_000010.png.partial",
  "checkpoints", "checkpoints/55", "checkpoints/7", "checkpoints/7/digest.json",
  "checkpoints/7/state", "checkpoints/6/state", "checkpoints/6/state/_METADATA",
  ".config.json.partial", ".metrics.jsonl.partial", "checkpoints/8.orbax-checkpoint-tmp",
  "checkpoints/damaged-8-1", "checkpoints/6/_CHECKPOINT_METADATA", "checkpoints/6/metrics",
]  # fmt: skip
IN_SWEEPS = [
  ".lock", "config.json", "timing.jsonl", "group", "group/config.json", "group/checkpoints",
  "members", "M", "M/config.json", "M/metrics.jsonl", "M/samples", "M/summary.json",
  "M/checkpoints", "results.csv", "results.json", "report.html",
]  # fmt: skip


@pytest.fixture
def precious(tmp_path):
  """-> what belongs to others, beside the folder that is attacked."""
  folder = tmp_path / "precious"
  for place in ("thesis.tex", "2019/data.csv", "2019/7/state/notes.txt", "secret.png"):
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).write_bytes(SECRET)
  return folder


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
  """-> a run and a sweep that counted and ended early."""
  folder = tmp_path_factory.mktemp("sources")
  with counting():
    assert launched(mnist, *TINY, "--steps=7", f"--workdir={folder / 'run'}").status == 0
    arguments = (*TINY, "--penalty=gp", "--members_at_once=1", "--batching=map", "--steps=3")
    assert launched(sweep, *arguments, f"--workdir={folder / 'sweep'}").status == 0
  return folder


@pytest.fixture
def counting_safely():
  """The counting engine's pictures, written as the others are."""

  def draw(self, members, folders):
    for folder in folders:
      files.write_bytes(folder.sample(int(members.state.step[0])), b"a picture")

  with counting(), pytest.MonkeyPatch.context() as patch:
    patch.setattr(CountingEngine, "draw", draw)
    patch.setattr(curves, "draw_curves", lambda path, *_: files.write_bytes(path, b"curves"))
    yield


def plant(path, place, how, precious):
  """Puts something in the place of a file or folder; -> whether there is such a place."""
  there = path / place
  if place.startswith("M"):
    there = min((path / "members").iterdir()) / place[2:] if (path / "members").exists() else there
  there.parent.mkdir(parents=True, exist_ok=True)
  if there.is_dir():
    shutil.rmtree(there)
  there.unlink(missing_ok=True)
  PLANTS[how](there, precious)


def word_of(ended, path, precious, before):
  """Whether others' files are as they were, and not in ours."""
  if contents(precious) != before:
    return LOST
  if "Traceback" in ended.err or not (ended.status in (0, 3) or ended.refused):
    return TRACEBACK
  for file in path.rglob("*"):
    own = file.is_file() and not file.is_symlink() and file.stat().st_nlink == 1
    if own and file.name in ("report.html", "results.json", "results.csv", "verdicts.md"):
      content = file.read_bytes()
      if SECRET in content or base64.b64encode(SECRET) in content:
        return WRONG
  return SURVIVED


def attack(tally, tmp_path, source, places, precious, launch_in, plants=PLANTS):
  before = contents(precious)
  for place in places:
    for how in plants:
      path = tmp_path / "attacked"
      shutil.copytree(source, path)
      plant(path, place, how, precious)
      ended = launch_in(path)
      word = word_of(ended, path, precious, before)
      if how == "a hard link" and word == WRONG:
        word = SURVIVED  # It is a file of the folder too: reading it cannot be told from that.
      tally.add(word, f"{how} as {place}", ended.err)
      shutil.rmtree(path)
      if contents(precious) != before:  # Once is enough for each.
        shutil.rmtree(precious)
        shutil.copytree(tmp_path / "copy", precious)


def test_a_run_touches_nothing_outside_of_its_folder(
  counted, sources, precious, tmp_path, counting_safely
):
  shutil.copytree(precious, tmp_path / "copy")

  def go_on(path):
    return launched(mnist, *TINY, "--steps=10", f"--workdir={path}", seconds=8)

  with counted("links and pipes") as tally:
    attack(tally, tmp_path, sources / "run", IN_RUNS, precious, go_on)


def test_a_sweep_touches_nothing_outside_of_its_folder(
  counted, sources, precious, tmp_path, counting_safely
):
  shutil.copytree(precious, tmp_path / "copy")
  arguments = (*TINY, "--penalty=gp", "--members_at_once=1", "--batching=map", "--steps=5")

  def go_on(path):
    return launched(sweep, *arguments, f"--workdir={path}", seconds=8)

  with counted("links and pipes") as tally:
    attack(tally, tmp_path, sources / "sweep", IN_SWEEPS, precious, go_on)


def test_pictures_reports_and_measures_stay_in_their_folder(counted, precious, tmp_path):
  """With pictures as they are drawn."""
  shutil.copytree(precious, tmp_path / "copy")
  run = copy_run(tmp_path / "run", "--steps=7")
  swept = copy_sweep(tmp_path / "sweep", "--penalty=gp", "--steps=7")
  picture = "M/samples/step_000007.png"
  links = {how: PLANTS[how] for how in PLANTS if "link" in how}
  for launch_in, source, places in [
    (
      lambda path: launched(mnist, *TINY, "--steps=10", f"--workdir={path}"),
      run,
      ["curves.png", "samples/step_000010.png"],
    ),
    (
      lambda path: launched(sample, f"--workdir={path}", "--n=1"),
      run,
      ["samples-step7-seed0-n1.png", "config.json", "checkpoints/7"],
    ),
    (
      lambda path: launched(sample, f"--workdir={path}", "--n=1", f"--out={path}/out/a.npz"),
      run,
      ["out/a.npz"],
    ),
    (
      lambda path: launched(evaluate, f"--workdir={path}", "--n=8"),
      run,
      ["evaluation.json", "evaluation.png"],
    ),
    (
      lambda path: launched(sweep, "--report_only", f"--workdir={path}"),
      swept,
      [picture, "M/metrics.jsonl", "report.html", "results.csv"],
    ),
  ]:
    with counted("links and pipes") as tally:
      attack(tally, tmp_path, source, places, precious, launch_in, links)


@pytest.fixture
def claims(monkeypatch):
  made = instant_claims()
  monkeypatch.setattr(reproduce, "find_names", lambda: made)
  monkeypatch.setattr(reproduce, "load_claims", lambda: made)
  return lambda name, path: launched(
    reproduce, f"--claim={name}", f"--workdir={path}", "--compilation_cache=none", "--again"
  )


def test_claims_touch_and_read_nothing_outside(counted, claims, precious, tmp_path):
  shutil.copytree(precious, tmp_path / "copy")
  source = tmp_path / "source"
  assert claims("first", source).status == 0
  (source / "runs" / "second-quick").mkdir(parents=True)
  places = ["results.json", "report.html", "verdicts.md", "figures", "figures/first-1.png"]
  places += ["figures/second-1.png", "figures/second-9.png", "runs", "runs/second-quick", ".lock"]
  with counted("links and pipes") as tally:
    attack(tally, tmp_path, source, places, precious, lambda path: claims("second", path))
  with counted("names that lead outside") as tally:
    before = contents(precious)
    for name in [
      "../precious/secret.png", "figures/../../precious/secret.png", f"{precious}/secret.png",
      "../../../../../../../../etc/passwd", "", ".", "figures", "a\0b", "~/secret.png",
    ]:  # fmt: skip
      path = tmp_path / "attacked"
      shutil.copytree(source, path)
      record = json.loads((path / "results.json").read_text())
      record["claims"]["first"]["pictures"][0]["file"] = name
      (path / "results.json").write_text(json.dumps(record))
      ended = claims("second", path)
      word = word_of(ended, path, precious, before)
      if base64.b64encode(b"root:x") in (path / "report.html").read_bytes():
        word = WRONG
      tally.add(word, repr(name), ended.err)
      shutil.rmtree(path)


def test_a_benchmark_touches_nothing_outside(counted, precious, tmp_path, monkeypatch):
  shutil.copytree(precious, tmp_path / "copy")
  measured = Measurement(MedianRange(1.0, 2.0, 4.0), "ms", {})
  monkeypatch.setattr(benchmark, "ROWS", {"row": Row("row", "row", lambda rounds: measured)})
  source = tmp_path / "source"
  source.mkdir()
  with counted("links and pipes") as tally:
    attack(
      tally,
      tmp_path,
      source,
      ["benchmark.json", ".benchmark.json.partial"],
      precious,
      lambda path: launched(benchmark, f"--workdir={path}"),
    )


@pytest.mark.parametrize("name", ["report.html", "verdicts.md", "figures/first-1.png"])
def test_files_of_others_are_not_overwritten_by_claims(counted, claims, tmp_path, name):
  theirs = tmp_path / "theirs" / name
  theirs.parent.mkdir(parents=True)
  theirs.write_bytes(SECRET)
  with counted("files of others") as tally:
    ended = claims("first", tmp_path / "theirs")
    kept = theirs.read_bytes() == SECRET
    tally.add(SURVIVED if ended.refused and kept else LOST, f"reproduce beside {name}", ended.err)

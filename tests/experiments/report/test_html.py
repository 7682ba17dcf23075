"""The sweep's report, opened in a browser."""

import json
import re
import shutil
import subprocess

import pytest
from helpers.launching import copy_sweep, launch

from experiments import sweep
from experiments.measures.rows import BEST_BY

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return copy_sweep(tmp_path_factory.mktemp("report") / "sweep", "--steps=6", "--seeds=2")


def test_it_is_self_contained_and_names_each_setting(folder):
  html = (folder / "report.html").read_text()
  assert not re.findall(r'(?:src|href)="(?!data:image/png;base64,)', html)
  assert "://" not in html  # Letters alone may stand in a picture's base64.
  for text in ("0.01", "0.1", "2 of 2", "Sensitivity", "against lambda_gp", "against clip_value"):
    assert text in html, text
  # 5 measures, two of them of clipping alone; against two hyperparameters; samples of 4 settings.
  assert html.count("<img") == 5 + (3 + 5) + 4


def test_the_setting_with_the_least_mean_distance_is_marked(folder):
  settings = json.loads((folder / "results.json").read_text())["settings"]
  means = [each["end"][BEST_BY]["mean"] for each in settings]
  html = (folder / "report.html").read_text()
  samples, critics = re.findall(r"<tbody>(.*?)</tbody>", html, re.DOTALL)[:2]
  marked = ["best" in row for row in re.findall(r"<tr(.*?)>", samples)]
  assert marked == [mean == min(means) for mean in means]
  assert 'class="best"' not in critics


def test_it_is_drawn_again_from_the_files(folder):
  names = ("results.csv", "results.json", "report.html")
  before = [(folder / name).read_bytes() for name in names]
  for name in names:
    (folder / name).unlink()
  assert launch(sweep, "--report_only", f"--workdir={folder}") == 0
  assert [(folder / name).read_bytes() for name in names] == before


@pytest.mark.campaign
@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
@pytest.mark.parametrize("width", [1400, 500])
def test_a_browser_shows_it_whole(folder, tmp_path, width):
  """Every picture loads, and nothing but the table is wider than the window."""
  probe = """<script>document.title = JSON.stringify({
    images: document.images.length,
    broken: [...document.images].filter(image => !image.naturalWidth).length,
    page: document.documentElement.scrollWidth, window: window.innerWidth})</script>"""
  page = tmp_path / "probed.html"
  page.write_text((folder / "report.html").read_text().replace("</body>", probe + "</body>"))
  shown = subprocess.run(
    [
      BROWSER,
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      f"--user-data-dir={tmp_path}/profile",
      f"--window-size={width},900",
      "--dump-dom",
      page.as_uri(),
    ],
    capture_output=True,
    text=True,
    timeout=120,
    check=True,
  ).stdout
  report = json.loads(re.search(r"<title>(.*?)</title>", shown).group(1))
  assert report["images"] == 15
  assert report["broken"] == 0
  assert report["window"] == width
  assert report["page"] <= report["window"]

"""The folder of reproduced claims: results.json, figures, verdicts.md and report.html."""

import pathlib
import time
from collections.abc import Collection, Sequence
from typing import Annotated, Literal, TypedDict

import msgspec

from experiments.claims.claim import OUTCOMES, Claim, Evidence, Verdict
from experiments.figures.pictures import Picture
from experiments.host.environment import Machine
from experiments.host.errors import UserError
from experiments.host.files import (
  is_partial,
  read_bytes,
  read_json,
  remove_file,
  write_bytes,
  write_json,
)
from experiments.report.pages import render_page

_TEMPLATES = pathlib.Path(__file__).parent


class _Picture(TypedDict):
  file: str
  caption: str


class _Asked(TypedDict):
  scale: str


class _Result(TypedDict):
  sentence: str
  source: str
  settings: str
  criterion: str
  asked: _Asked
  verdict: Literal[OUTCOMES]
  seen: str
  table: list[dict]
  pictures: list[_Picture]
  seconds: Annotated[float, msgspec.Meta(ge=0, le=1e9)]
  environment: Machine


class _Results(TypedDict):
  claims: dict[str, _Result]


class Reproduction:
  """The results of claims in a folder, each at one scale; `names` are all, in reading order.

  Raises UserError if results.json is damaged or has other claims, or the folder is another's.
  """

  def __init__(self, path: pathlib.Path, names: Sequence[str]):
    self.path, self._file, self._names = path, path / "results.json", names
    if not self._file.exists():
      self._begin()
    self.results = read_json(self._file, _Results)["claims"]
    if not self.results.keys() <= set(names):
      raise UserError(f"{self._file}: of other claims than this version has: name another folder")

  def _begin(self):
    """Marks a folder as ours; raises UserError if it holds more than a start that was stopped."""
    for child in self.path.iterdir():
      if child.name not in (".lock", "runs") and not is_partial(child):
        raise UserError(
          f"--workdir={self.path} holds other files, such as {child.name}, and no results.json:"
          " name another folder"
        )
    write_json(self._file, {"claims": {}})

  def check_pictures(self, except_for: Collection[str]) -> None:
    """Reads the figures of all claims except for those that are to be run: the report needs them.

    Raises:
      UserError: one cannot be read; names the claim.
    """
    for name in self.results.keys() - set(except_for):
      self._pictures(name)

  def has(self, name: str, asked: dict) -> bool:
    """Says whether a claim was put to the test with just these arguments."""
    return self.results.get(name, {}).get("asked") == asked

  def record(
    self, claim: Claim, asked: dict, evidence: Evidence, verdict: Verdict, seconds, environment
  ) -> None:
    """Writes a claim's results and pages; raises UserError if the folder cannot be written."""
    figures = self.path / "figures"
    try:
      figures.mkdir(parents=True, exist_ok=True)
      for old in figures.glob(f"{claim.name}-*.png"):
        remove_file(old)
      pictures = []
      for i, picture in enumerate(evidence.pictures, 1):
        file = f"figures/{claim.name}-{i}.png"
        write_bytes(self.path / file, picture.png)
        pictures.append({"file": file, "caption": picture.caption})
      self.results[claim.name] = {
        "sentence": claim.sentence,
        "source": claim.source,
        "settings": claim.settings,
        "criterion": claim.criterion_text,
        "asked": asked,
        "verdict": verdict.outcome,
        "seen": verdict.seen,
        "numbers": evidence.numbers,
        "table": evidence.table,
        "pictures": pictures,
        "seconds": round(seconds, 1),
        "time": time.time(),
        "environment": environment,
      }
      self.write()
    except OSError as error:
      raise UserError(
        f"{self.path} cannot be written ({error.strerror}): make room and run the claim again"
      ) from error

  def write(self) -> None:
    """Writes results.json, verdicts.md and report.html."""
    self.results = {name: self.results[name] for name in self._names if name in self.results}
    write_json(self._file, {"claims": self.results})
    outcomes = [result["verdict"] for result in self.results.values()]
    counts = {each: outcomes.count(each) for each in OUTCOMES if each in outcomes}
    shown = {"results": self.results, "counts": counts, "n_claims": len(self._names)}
    verdicts = render_page(_TEMPLATES / "verdicts.md.jinja", **shown)
    write_bytes(self.path / "verdicts.md", verdicts.encode())
    machines = {
      f"{each['devices']} x {each['device']}, {each['threads']} threads, jax {each['jax']}"
      for each in (result["environment"] for result in self.results.values())
    }
    shown["machines"] = sorted(machines)
    shown["pictures"] = {name: self._pictures(name) for name in self.results}
    report = render_page(_TEMPLATES / "reproduction.html.jinja", **shown)
    write_bytes(self.path / "report.html", report.encode())

  def _pictures(self, name):
    recorded = self.results[name]["pictures"]
    try:
      return [
        Picture(each["caption"], read_bytes(self.path / each["file"], inside=self.path))
        for each in recorded
      ]
    except OSError as error:
      raise UserError(
        f"{error.filename}: cannot be read ({error.strerror}): run --claim={name} --again"
      ) from error

"""The folder of reproduced claims: results.json, figures, verdicts.md and report.html."""

import pathlib
import time
from collections.abc import Sequence

from experiments.claims.claim import OUTCOMES, Claim, Evidence, Verdict
from experiments.figures.pictures import Picture
from experiments.host.errors import UserError
from experiments.host.files import read_json, write_bytes, write_json
from experiments.report.pages import minutes, render_page

_WORDS = ("sentence", "source", "settings")
_FIELDS = {*_WORDS, "criterion", "asked", "verdict", "seen", "table", "pictures", "seconds"}
_FIELDS |= {"environment"}
_TEMPLATE = pathlib.Path(__file__).with_name("reproduction.html.jinja")


class Reproduction:
  """The results of claims in a folder, each at one scale; `names` are all, in reading order.

  Raises UserError if results.json is damaged or has other claims.
  """

  def __init__(self, path: pathlib.Path, names: Sequence[str]):
    self.path, self._file, self._names = path, path / "results.json", names
    self.results = {}
    if self._file.exists():
      results = read_json(self._file).get("claims")
      if not isinstance(results, dict) or not all(map(self._is_whole, results, results.values())):
        raise UserError(f"{self._file}: damaged, or of another version: name another folder")
      self.results = results

  def _is_whole(self, name, result):
    return name in self._names and isinstance(result, dict) and set(result) >= _FIELDS

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
        old.unlink()
      pictures = []
      for i, picture in enumerate(evidence.pictures, 1):
        file = figures / f"{claim.name}-{i}.png"
        write_bytes(file, picture.png)
        pictures.append({"file": f"figures/{file.name}", "caption": picture.caption})
      self.results[claim.name] = {
        **{name: getattr(claim, name) for name in _WORDS},
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
    write_bytes(self.path / "verdicts.md", self._verdicts().encode())
    write_bytes(self.path / "report.html", self._report().encode())

  def _verdicts(self):
    lines = ["| claim | source | verdict | seen | scale, seeds | time |", "|---" * 6 + "|"]
    for name, result in self.results.items():
      asked = result["asked"]
      scale = ", ".join(str(asked[each]) for each in ("scale", "seeds") if each in asked)
      cells = [f"**`{name}`** {result['sentence']}", result["source"], result["verdict"]]
      cells += [result["seen"], scale, minutes(result["seconds"])]
      lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    counts = ", ".join(f"{n} {each}" for each, n in self._counts().items())
    counts += f", of {len(self._names)} claims"
    head = f"# Claims and verdicts\n\n{counts}. `python -m experiments.reproduce` wrote this table"
    head += " and, beside it, `report.html` with all [figures](figures).\n\n"
    return head + "\n".join(lines) + "\n"

  def _report(self):
    shown = {}
    for name, result in self.results.items():
      files = {each["file"]: each["caption"] for each in result["pictures"]}
      pictures = [Picture(caption, self._read(name, file)) for file, caption in files.items()]
      shown[name] = result | {"embedded": pictures}
    machines = {
      f"{each['devices']} x {each['device']}, {each['threads']} threads, jax {each['jax']}"
      for each in (result["environment"] for result in self.results.values())
    }
    return render_page(_TEMPLATE, results=shown, counts=self._counts(), machines=sorted(machines))

  def _read(self, name, file):
    try:
      return (self.path / file).read_bytes()
    except OSError as error:
      raise UserError(
        f"{self.path / file}: cannot be read ({error.strerror}): run --claim={name} --again"
      ) from error

  def _counts(self):
    outcomes = [result["verdict"] for result in self.results.values()]
    return {each: outcomes.count(each) for each in OUTCOMES if each in outcomes}

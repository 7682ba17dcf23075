"""Puts the claims of the course and the papers to the test, each with a verdict.

python -m experiments.reproduce                        lists the claims
python -m experiments.reproduce --claim=NAME,NAME      runs some of them
python -m experiments.reproduce --all --scale=quick    runs all, on 2 CPU cores in about an hour

Writes results.json, figures/, verdicts.md and report.html. The same command resumes at the claim at
which it stopped. A claim that is there at the same scale is run again only with --again.
"""

import json
import pathlib
import time

from absl import flags

from experiments.claims import find_names, load_claims
from experiments.claims.claim import SCALES
from experiments.claims.lab import Lab
from experiments.claims.reproduction import Reproduction
from experiments.engine.opening import locked
from experiments.host import cli
from experiments.host.environment import describe_environment, use_all_cores, use_compilation_cache
from experiments.host.errors import UserError
from experiments.host.files import remove_folder
from experiments.spec import flags as shared_flags


def register(flag_values: flags.FlagValues) -> None:
  """Defines this launcher's flags."""
  parser = flags.EnumParser(sorted(find_names()))
  shared_flags.register_list(flag_values, "claim", None, "The claims to run, by name.", parser)
  seeds = "Seeds of each setting; by default as many as the claim has at this scale."
  cache = (
    "Where compiled programs are kept for the next start: a folder or none; by default in the"
    " user's cache folder."
  )
  shared_flags.register_rows(
    flag_values,
    ("scale", "quick", "quick is for 2 CPU cores, full for a GPU and hours.", list(SCALES)),
    ("seeds", None, seeds, (1, 1000)),
    ("workdir", "runs/reproduction", "The folder to write."),
    ("data_dir", None, "TFDS folder of the full scale; else TFDS_DATA_DIR, else TFDS's own."),
    ("compilation_cache", None, cache),
    ("all", False, "Run all claims."),
    ("again", False, "Also run claims that are there already."),
  )


def main(flag_values: flags.FlagValues) -> None:
  """Lists the claims, or runs them."""
  shared_flags.check_paths(flag_values, "workdir", "data_dir", "compilation_cache")
  if flag_values.claim and flag_values.all:
    raise UserError("--claim does nothing with --all: leave one of them out")
  if flag_values["data_dir"].present and flag_values.scale == "quick":
    raise UserError("--data_dir does nothing with --scale=quick, which needs no download")
  wanted, scale = flag_values.claim or flag_values.all, flag_values.scale
  for name in ("seeds", "again"):
    if flag_values[name].present and not wanted:
      raise UserError(f"--{name} does nothing without --claim or --all: add one of them")
  claims = load_claims()
  if not wanted:
    for name, claim in claims.items():
      print(f"{name}  ({claim.source}; {claim.minutes[scale]:g} min)\n    {claim.sentence}")
    total = sum(claim.minutes[scale] for claim in claims.values())
    print(f"{len(claims)} claims, about {total:.0f} minutes with --all --scale={scale}")
    return
  names = list(claims) if flag_values.all else flag_values.claim
  if flag_values.seeds and not any("seeds" in claims[each].quick for each in names):
    raise UserError(f"--seeds does nothing with --claim={','.join(names)}: nothing in it is drawn")
  folder = pathlib.Path(flag_values.workdir).expanduser()
  if folder.exists() and not folder.is_dir():
    raise UserError(f"--workdir={folder} is a file: name a folder")
  use_all_cores()
  use_compilation_cache(flag_values.compilation_cache)
  environment = describe_environment()
  with locked(folder):
    reproduction = Reproduction(folder, list(claims))
    arguments = {name: claims[name].arguments(scale) for name in names}
    for each in arguments.values() if flag_values.seeds else ():
      each |= {"seeds": flag_values.seeds} if "seeds" in each else {}
    asked = {  # As recorded.
      name: json.loads(json.dumps({"scale": scale} | each)) for name, each in arguments.items()
    }
    again = flag_values.again
    waiting = [name for name in names if again or not reproduction.has(name, asked[name])]
    reproduction.check_pictures(except_for=waiting)
    for i, name in enumerate(names, 1):
      if name not in waiting:
        print(f"[{i}/{len(names)}] {name}: there already ({reproduction.results[name]['verdict']})")
        continue
      claim, own = claims[name], arguments[name]
      print(f"[{i}/{len(names)}] {name}: about {claim.minutes[scale]:g} minutes", flush=True)
      started = time.perf_counter()
      seeds = f"-{own['seeds']}" if "seeds" in own else ""
      runs = folder / "runs" / f"{name}-{scale}{seeds}"
      if flag_values.again:
        remove_folder(runs)
      evidence = claim.measure(Lab(runs, flag_values.data_dir, environment), **own)
      verdict = claim.criterion(evidence.numbers)
      seconds = time.perf_counter() - started
      reproduction.record(claim, asked[name], evidence, verdict, seconds, environment)
      print(f"  {verdict.outcome}, {seconds:.0f} s: {verdict.seen}", flush=True)
  print(f"written: {folder}/report.html, verdicts.md, results.json, figures/")


if __name__ == "__main__":
  raise SystemExit(cli.run(main, register, __doc__))

"""Digests of ten tiny runs, to show that a change of the code leaves every result bit for bit.

python tests/helpers/golden.py record FILE [TREE]     runs the code in TREE, here if not given
python tests/helpers/golden.py compare FILE [TREE]    runs it again and prints what differs

Results depend on the machine and the versions too, so FILE is for one machine: record it in a clone
of the older commit, then compare. A run takes some 10 s.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

_DIGITS = "--dataset=digits --width=4 --latent_dim=4 --batch_size=8 --n_critic=2"
_MLP = f"{_DIGITS} --architecture=mlp"
_EVERY = "--log_every=4 --sample_every=7 --checkpoint_every=5"
_POINTS = f"--width=8 --batch_size=16 --n_critic=2 {_EVERY}"
RUNS = {
  "gp": [f"mnist --penalty=gp {_DIGITS} {_EVERY} --steps=14 --exact_every=4"],
  "gp_one_sided": [f"mnist --penalty=gp_one_sided {_MLP} {_EVERY} --steps=14"],
  "clip": [f"mnist --penalty=clip {_MLP} {_EVERY} --steps=14"],
  "none": [f"mnist --penalty=none {_MLP} {_EVERY} --steps=14 --schedule=linear --decay_steps=20"],
  "nonsaturating": [f"mnist --loss=nonsaturating --penalty=none {_DIGITS} {_EVERY} --steps=14"],
  "ring": [f"toy --dataset=ring --penalty=gp {_POINTS} --steps=14 --exact_every=4"],
  "funnels": [f"toy --dataset=funnels --penalty=gp_one_sided {_POINTS} --steps=14"],
  "sweep": [
    f"sweep --penalty=clip,gp --clip_value=0.01,0.1 --lambda_gp=1,10 {_MLP} {_EVERY} --steps=14"
    " --batching=map"
  ],
  "sweep_ring": [
    f"sweep --dataset=ring --methods=nonsaturating,gp --seeds=2 {_POINTS} --steps=12"
    " --batching=map --exact_every=4"
  ],
  "resume": [
    f"mnist --penalty=gp {_MLP} {_EVERY} --steps=6",
    f"mnist --penalty=gp {_MLP} {_EVERY} --steps=14",
  ],
}


def digest(folder: pathlib.Path) -> dict[str, str]:
  """By file, SHA-256 of metrics and pictures, and of each run's newest state."""
  found = {}
  for pattern in ("metrics.jsonl", "summary.json", "curves.png", "samples/*.png"):
    for path in sorted(folder.rglob(pattern)):
      content = path.read_bytes()
      found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
  for kept in sorted(folder.rglob("checkpoints")):
    newest = max(kept.glob("*/digest.json"), key=lambda path: int(path.parent.name))
    found[str(newest.parent.relative_to(folder))] = json.loads(newest.read_bytes())["state"]
  return found


def run_all(tree: pathlib.Path) -> dict[str, dict[str, str]]:
  """By run and file, the digests of the code in a tree."""
  found = {}
  with tempfile.TemporaryDirectory() as scratch:
    environment = os.environ | {"XDG_CACHE_HOME": f"{scratch}/cache", "PYTHONPATH": str(tree)}
    for name, commands in RUNS.items():
      folder = pathlib.Path(scratch) / name
      for command in commands:
        module, *arguments = command.split()
        subprocess.run(
          [sys.executable, "-m", f"experiments.{module}", *arguments, f"--workdir={folder}"],
          cwd=tree,
          env=environment,
          check=True,
          capture_output=True,
        )
      found[name] = digest(folder)
      print(f"{name}: {len(found[name])} files", file=sys.stderr, flush=True)
  return found


def main(verb: str, file: str, tree: str = ".") -> int:
  """-> the exit status: 1 where a digest differs."""
  found = run_all(pathlib.Path(tree).resolve())
  if verb == "record":
    pathlib.Path(file).write_text(json.dumps(found, indent=2) + "\n")
    return 0
  recorded = json.loads(pathlib.Path(file).read_text())
  differ = [
    f"{name}/{path}"
    for name in recorded | found
    for path in recorded.get(name, {}) | found.get(name, {})
    if recorded.get(name, {}).get(path) != found.get(name, {}).get(path)
  ]
  print("\n".join(differ) or f"all {sum(map(len, found.values()))} digests are equal")
  return bool(differ)


if __name__ == "__main__":
  sys.exit(main(*sys.argv[1:]))

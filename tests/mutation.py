"""Mutation testing: breaks a module in every small way and asks its own tests to notice.

  python tests/mutation.py losses penalties [--sample=60 --seed=0] [--timeout=4]

A mutant is a module of `wgan_jax` with one change: `<` for `<=`, `+` for `-`, `n + 1` for a number,
`max` for `min`, an argument left out, a statement deleted, and so on (see `alternatives`), or a
line of `BY_HAND`. It is killed if a test of the module's own file fails, survives if all pass.
A survivor is a missing test or a change that means the same: docs/mutations.md explains each.

The mutant lives in memory only: no file of the package is written. One parent process has imported
jax and the other packages, but computed nothing. It forks a child for each mutant, which imports
the mutated package and runs pytest until the first failure. Children share one compilation cache
and try those tests first that are quick and have killed others. mutmut and cosmic-ray do not serve
here: the trampolines of the one break under tracing, and the other starts a process, and so imports
jax, for each mutant.
"""

import argparse
import ast
import copy
import gc
import importlib
import importlib.abc
import importlib.util
import os
import pathlib
import pickle
import random
import signal
import sys
import tempfile
import time
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = "wgan_jax"

# The files of a module whose tests are not all in test_<module>.py.
TESTS = {"lipschitz": ("lipschitz", "operator_norm")}

# What the tests import. Nothing of it computes, so that the process may still be forked.
PRELOADED = (
  *("absl.testing.parameterized", "chex", "flax.linen", "jax", "numpy", "optax", "ot"),
  *("scipy.linalg", "scipy.optimize", "scipy.sparse.linalg", "scipy.spatial", "scipy.stats"),
)

# Ways to be wrong that no operator makes: (the text of one place, what replaces it).
BY_HAND = {
  "penalties": [
    ("jnp.square(excess))", "jnp.square(excess) ** 0.5)"),
    ("uniform(key_alpha, (real.shape[0],)", "uniform(key_alpha, (1,)"),
    ("uniform(key, (real.shape[0],)", "uniform(key, (1,)"),
    ("jax.random.uniform(key_u, real.shape, real.dtype)", "0.5"),
  ],
  "objectives": [
    ("jnp.concatenate([real, fake])", "jnp.concatenate([fake, real])"),
    ("jnp.max(norms)", "jnp.max(norms[:1])"),
    ('"critic_loss": objective', '"critic_loss": objective - lambda_gp * cost'),
  ],
  "training": [
    ('(metrics["critic_loss"], generator_loss)', '(metrics["critic_loss"][-1], generator_loss)'),
    ('(metrics["critic_loss"], generator_loss)', '(metrics["critic_loss"][0], generator_loss)'),
    ("values[-1] for", "values[0] for"),
    ("values[-1] for", "values.mean() for"),
    ("move_average(state.ema, current", "move_average(current, current"),
    ("fold_in(key, _REAL_SAMPLES)", "fold_in(key, 0)"),
    ("jax.random.fold_in(state.key, state.step)", "state.key"),
    ("jax.tree.map(jnp.copy, (generator_params, batch_stats))", "(generator_params, batch_stats)"),
  ],
  "transport": [
    ("directions /= jnp.linalg.norm(directions, axis=1, keepdims=True)", "pass"),
    ("jnp.mean(jax.vmap(", "jnp.max(jax.vmap("),
  ],
  "frechet": [
    ("/ np.sqrt(len(x) - 1)", "/ np.sqrt(len(x))"),
    ("fake_covered |=", "fake_covered ="),
  ],
  "modes": [
    ("jnp.isfinite(distance)", "jnp.isfinite(distance) | True"),
    ("distance <= _N_SIGMA * sigma", "distance**2 <= _N_SIGMA * sigma"),
  ],
  "lipschitz": [
    ("jnp.round(x[::2])", "x[::2]"),
    ("norms[winner]", "norms[0]"),
    ("x[winner]", "x[0]"),
    ("norms_at(proposal)", "norms_at(x + move)"),
    ("math.nextafter(bound * norms[-1], math.inf)", "bound * norms[-1]"),
    ("math.nextafter(math.sqrt(largest) * scale, math.inf)", "math.sqrt(largest) * scale"),
    ("(1 + 4 * _EPS * n * (n + n_terms + 2))", "1"),
    ("guess * (1 + margin)", "guess * (1 + 100 * margin)"),
  ],
}

SWAPPED_OPERATORS = {
  ast.Lt: ast.LtE,
  ast.LtE: ast.Lt,
  ast.Gt: ast.GtE,
  ast.GtE: ast.Gt,
  ast.Eq: ast.NotEq,
  ast.NotEq: ast.Eq,
  ast.Is: ast.IsNot,
  ast.IsNot: ast.Is,
  ast.In: ast.NotIn,
  ast.NotIn: ast.In,
  ast.Add: ast.Sub,
  ast.Sub: ast.Add,
  ast.Mult: ast.Div,
  ast.Div: ast.Mult,
  ast.Pow: ast.Mult,
  ast.FloorDiv: ast.Mult,
  ast.Mod: ast.Mult,
  ast.BitAnd: ast.BitOr,
  ast.BitOr: ast.BitAnd,
  ast.BitXor: ast.BitOr,
  ast.RShift: ast.LShift,
  ast.LShift: ast.RShift,
  ast.And: ast.Or,
  ast.Or: ast.And,
}
SWAPPED_NAMES = {
  **{"max": "min", "maximum": "minimum", "argmax": "argmin", "sum": "mean", "any": "all"},
  **{"zeros": "ones", "isnan": "isinf"},
}
SWAPPED_NAMES |= {after: before for before, after in SWAPPED_NAMES.items()}
# Functions of one argument that a mutant leaves out.
UNWRAPPED = {
  *("abs", "sqrt", "square", "exp", "log", "relu", "softplus", "round"),
  *("stop_gradient", "widen", "as_float"),
}
COMMUTATIVE = {"min", "max", "minimum", "maximum", "result_type", "scale_of"}


class Mutant(NamedTuple):
  """A module's code with one change."""

  line: int
  before: str
  after: str
  code: object


def alternatives(node, parent):
  """Yields what a node may be replaced with."""

  def changed(**fields):
    new = copy.copy(node)
    for field, value in fields.items():
      setattr(new, field, value)
    return new

  match node:
    case ast.Compare(ops=[op, *rest]) if type(op) in SWAPPED_OPERATORS:
      yield changed(ops=[SWAPPED_OPERATORS[type(op)](), *rest])
    case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op):
      if type(op) in SWAPPED_OPERATORS:
        yield changed(op=SWAPPED_OPERATORS[type(op)]())
    case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert()):
      yield node.operand
    case ast.Constant(value=bool()):
      yield changed(value=not node.value)
    case ast.Constant(value=int() | float()):
      yield changed(value=node.value + 1)
    case ast.Name(id=name) if name in SWAPPED_NAMES and isinstance(parent, ast.Call):
      yield changed(id=SWAPPED_NAMES[name])
    case ast.Attribute(attr=name) if name in SWAPPED_NAMES:
      yield changed(attr=SWAPPED_NAMES[name])
    case ast.Call():
      yield from _changed_calls(node, changed)
  match node:
    case ast.AugAssign() | ast.Raise() | ast.Expr(value=ast.Call()):
      yield ast.Pass()
    case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
      if isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.NamedExpr):
        yield changed(test=ast.UnaryOp(ast.Not(), test))


def _changed_calls(call, changed):
  """Two arguments exchanged, a keyword or an element of a tuple left out, the argument alone."""
  name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
  starred = any(isinstance(argument, ast.Starred) for argument in call.args)
  if "assert" in name or name == "isinstance":
    return  # The order of what is asserted says nothing, and one of two equal shapes is any.
  equal = len({ast.unparse(argument) for argument in call.args[:2]}) < 2
  if not equal and not starred and name not in COMMUTATIVE:
    yield changed(args=[call.args[1], call.args[0], *call.args[2:]])
  for i, keyword in enumerate(call.keywords):
    if keyword.arg != "strict":
      yield changed(keywords=call.keywords[:i] + call.keywords[i + 1 :])
  for i, argument in enumerate(call.args):
    if isinstance(argument, ast.Tuple | ast.List) and len(argument.elts) > 1:
      for j in range(len(argument.elts)):
        shorter = copy.copy(argument)
        shorter.elts = argument.elts[:j] + argument.elts[j + 1 :]
        yield changed(args=[*call.args[:i], shorter, *call.args[i + 1 :]])
  if name in UNWRAPPED and len(call.args) == 1:
    yield call.args[0]


def _slots(node):
  """Yields (parent, field, index, child) for what may be mutated, outer before inner.

  Left out: docstrings and other strings, annotations, what is raised, imports, type variables, and
  `strict=True`, a check of its own.
  """
  for field, value in ast.iter_fields(node):
    if field in ("annotation", "returns", "decorator_list", "bases"):
      continue
    if isinstance(node, ast.keyword) and node.arg == "strict":
      continue
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
      continue
    children = enumerate(value) if isinstance(value, list) else [(None, value)]
    for index, child in children:
      if isinstance(child, ast.Assign) and "TypeVar(" in ast.unparse(child):
        continue
      if isinstance(child, ast.AST):
        yield node, field, index, child
        yield from _slots(child)


def make_mutants(module):
  """Returns all mutants of a module of the package."""
  path = ROOT / PACKAGE / f"{module}.py"
  source = path.read_text()
  tree = ast.parse(source)
  mutants = []
  for parent, field, index, node in list(_slots(tree)):
    for new in alternatives(node, parent):
      _put(parent, field, index, ast.copy_location(new, node))
      code = compile(ast.fix_missing_locations(tree), str(path), "exec")
      _put(parent, field, index, node)
      mutants.append(Mutant(node.lineno, _shown(node), _shown(new), code))
  for before, after in BY_HAND.get(module, ()):
    if source.count(before) != 1:
      raise ValueError(f"BY_HAND: {source.count(before)} places of {path} read {before!r}")
    line = source[: source.index(before)].count("\n") + 1
    code = compile(source.replace(before, after), str(path), "exec")
    mutants.append(Mutant(line, before, after, code))
  return mutants


def _put(parent, field, index, node):
  if index is None:
    setattr(parent, field, node)
  else:
    getattr(parent, field)[index] = node


def _shown(node):
  """A node's source in one line; of a block, its head."""
  if isinstance(node, ast.If | ast.While):
    return f"{type(node).__name__.lower()} {ast.unparse(node.test)}:"
  return " ".join(ast.unparse(node).split())


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
  """Imports the mutated module in place of the one on disk."""

  def __init__(self, module, code):
    self.name, self.code = f"{PACKAGE}.{module}", code

  def find_spec(self, name, path=None, target=None):
    if name != self.name:
      return None
    origin = ROOT / f"{name.replace('.', '/')}.py"
    return importlib.util.spec_from_file_location(name, origin, loader=self)

  def exec_module(self, module):
    exec(self.code, module.__dict__)


class _Plugin:
  """Orders the tests, limits their time, shares the compilation cache, and answers the parent.

  It answers and ends the process at the first failure, or after the last test.
  """

  def __init__(self, order, limits, cache, pipe):
    self.order, self.limits, self.cache, self.pipe = order, limits, cache, pipe
    self.durations = {}

  def answer(self, failed, text=""):
    os.write(self.pipe, pickle.dumps((failed, self.durations, text[-5000:])))
    os._exit(0)

  def pytest_collection_modifyitems(self, items):
    ranks = {test: rank for rank, test in enumerate(self.order)}
    items.sort(key=lambda item: ranks.get(item.nodeid, -1))

  def pytest_runtest_setup(self, item):
    # The default action of either signal ends the process, even within compiled code. Time of the
    # processor, not of the wall: others may be at work. The second is for what sleeps for ever.
    signal.setitimer(signal.ITIMER_PROF, self.limits.get(item.nodeid, 300))
    signal.alarm(600)

  def pytest_runtest_call(self):
    if self.cache:  # After the session's fixture, which chose a folder of its own.
      import jax
      from jax.experimental.compilation_cache import compilation_cache

      jax.config.update("jax_compilation_cache_dir", self.cache)
      compilation_cache.reset_cache()
      self.cache = None

  def pytest_runtest_logreport(self, report):
    self.durations[report.nodeid] = self.durations.get(report.nodeid, 0) + report.duration
    if report.failed:
      self.answer(report.nodeid, report.longreprtext)

  def pytest_collectreport(self, report):
    if report.failed:
      self.answer("import", report.longreprtext)

  @pytest.hookimpl(tryfirst=True)
  def pytest_sessionfinish(self, exitstatus):
    self.answer(None if exitstatus == 0 else f"exit {exitstatus}")


def run_tests(module, code, order, limits, folder):
  """Runs a module's tests in a forked child.

  Returns:
    The first test that failed, or None; test -> seconds of those that ran; the failure's text.
  """
  read, write = os.pipe()
  child = os.fork()
  if child:
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
      answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if answer:
      return pickle.loads(answer)
    late = os.WTERMSIG(status) in (signal.SIGALRM, signal.SIGPROF)
    return "timeout" if late else "crash", {}, f"status {status}"
  try:
    os.close(read)
    signal.alarm(600)  # For the import; each test then sets its own limit.
    for stream in (1, 2):
      os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    if code is not None:
      sys.meta_path.insert(0, _Mutated(module, code))
    files = [f"tests/library/test_{name}.py" for name in TESTS.get(module, (module,))]
    plugin = _Plugin(order, limits, str(folder / "compiled"), write)
    pytest.main(["-n0", "-p", "no:cacheprovider", "--tb=short", *files], plugins=[plugin])
  finally:
    os._exit(1)


def test_mutants(module, options, folder):
  """Runs one module's mutants and prints its survivors and its score."""
  failed, durations, text = run_tests(module, None, [], {}, folder)
  if failed:
    sys.exit(f"{module}: {failed} fails without a mutation:\n{text}")
  limits = {test: 10 + options.timeout * seconds for test, seconds in durations.items()}
  mutants = make_mutants(module)
  if options.lines:
    mutants = [mutant for mutant in mutants if str(mutant.line) in options.lines.split(",")]
  note = f"all {len(mutants)}" if not options.lines else f"lines {options.lines}, {len(mutants)}"
  if options.sample and options.sample < len(mutants):
    note = f"a sample of {options.sample} of {len(mutants)}, seed {options.seed}"
    chosen = random.Random(options.seed).sample(range(len(mutants)), options.sample)
    mutants = [mutants[i] for i in sorted(chosen)]
  print(f"{module}: {note} mutants, {len(durations)} tests", flush=True)
  kills = dict.fromkeys(durations, 0)
  survivors, start = [], time.perf_counter()
  for mutant in mutants:
    # Quick ones first; one that has killed much is worth its time.
    order = sorted(kills, key=lambda test: durations[test] / (1 + kills[test]))
    killer, _, _ = run_tests(module, mutant.code, order, limits, folder)
    if killer in kills:
      kills[killer] += 1
    text = f"{PACKAGE}/{module}.py:{mutant.line}: {mutant.before} -> {mutant.after}"
    if not killer:
      survivors.append(mutant)
      print(f"  survived  {text}", flush=True)
    elif options.verbose or killer in ("timeout", "crash"):
      print(f"  {killer.split('::')[-1]}  {text}", flush=True)
  failed, _, text = run_tests(module, None, order, limits, folder)
  if failed:
    sys.exit(f"{module}: {failed} depends on the order of tests:\n{text}")
  killed = len(mutants) - len(survivors)
  print(
    f"{module}: {note} mutants, {killed} killed, {len(survivors)} survived, score"
    f" {killed / len(mutants):.1%}, {time.perf_counter() - start:.0f} s",
    flush=True,
  )


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("modules", nargs="+", help="modules of wgan_jax, such as losses")
  parser.add_argument("--sample", type=int, default=0, help="this many mutants, not all")
  parser.add_argument("--seed", type=int, default=0, help="of the sample")
  parser.add_argument(
    "--timeout", type=float, default=4, help="a test that takes so many times as long has failed"
  )
  parser.add_argument("--lines", default="", help="only the mutants of these lines: 54,61")
  parser.add_argument("--verbose", action="store_true", help="print what killed each mutant")
  parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
  options = parser.parse_args()
  if options.list:
    for module in options.modules:
      for mutant in make_mutants(module):
        print(f"{PACKAGE}/{module}.py:{mutant.line}: {mutant.before} -> {mutant.after}")
    return
  os.chdir(ROOT)
  sys.path.insert(0, str(ROOT))
  sys.path.remove(str(ROOT / "tests"))
  # Compiling is most of a test's time, and LLVM's passes most of that.
  os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
  for name in PRELOADED:
    importlib.import_module(name)
  gc.freeze()  # A child's collections then leave what it shares with its parent alone.
  with tempfile.TemporaryDirectory() as folder:
    os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
    for module in options.modules:
      test_mutants(module, options, pathlib.Path(folder))


if __name__ == "__main__":
  main()

"""Course, row 8: 1-Lipschitz is a gradient norm of at most 1 at every point of a stated domain."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.claim import Claim, Evidence, verdict
from experiments.claims.figures import make_panels, picture
from experiments.claims.summary import span
from wgan_jax.lipschitz import certify, largest_gradient_norm
from wgan_jax.networks import mlp

# (in words, function of one number, half the domain, its Lipschitz constant there)
_FUNCTIONS = (
  ("x^2 on [-2, 2]", lambda x: x**2, 2.0, 4.0),
  ("2x on [-2, 2]", lambda x: 2 * x, 2.0, 2.0),
  ("x^2 on [-1/2, 1/2]", lambda x: x**2, 0.5, 1.0),
  ("sin x on [-4, 4]", jnp.sin, 4.0, 1.0),
  ("softplus on [-4, 4]", jax.nn.softplus, 4.0, 0.9820138),  # The sigmoid of 4.
  ("|x| on [-2, 2]", jnp.abs, 2.0, 1.0),
)


def _measure(lab, *, seeds, points):
  functions, table, critics = [], [], []
  for name, function, half, constant in _FUNCTIONS:
    search = _searcher(lambda params, x, function=function: function(x[0]), jnp.full((1,), half))
    found = [float(search({}, jax.random.key(seed))) for seed in range(seeds)]
    # Rounded as JAX will, or the secants of neighbours are steeper by that rounding.
    x = np.linspace(-half, half, points).astype(np.float32).astype(np.float64)
    y = np.asarray(function(x), np.float64)
    with np.errstate(invalid="ignore"):  # A point and itself have no secant.
      secant = float(np.nanmax(np.abs(y[:, None] - y) / np.abs(x[:, None] - x)))
    functions.append({"name": name, "constant": constant, "found": found, "secant": secant})
    table.append({"function": name, "true or certified": constant, "found": max(found)})
  for width in (16, 64):
    critic = mlp((2,), latent_dim=2, width=width).critic
    search = _searcher(critic.apply, jnp.ones(2))
    for seed in range(seeds):
      key_params, key_search = jax.random.split(jax.random.key(seed))
      params = critic.init(key_params)
      found = float(search(params, key_search))
      bound = certify(critic.layers(params), (2,)).bound
      critics.append({"width": width, "seed": seed, "found": found, "bound": bound})
      name = f"critic of 3 x {width}, seed {seed}"
      table.append({"function": name, "true or certified": bound, "found": found})
  numbers = {"functions": functions, "critics": critics}
  return Evidence(numbers, table, [_draw(functions), _draw_critics(critics, seeds)])


def _searcher(apply, box):
  """Makes (params, key) -> the largest gradient norm found in the box, compiled once."""
  return jax.jit(
    lambda params, key: largest_gradient_norm(key, lambda x: apply(params, x), -box, box)[0]
  )


def _criterion(numbers):
  holds, steep, gentle = True, [], []
  for each in numbers["functions"]:
    found = np.array(each["found"])
    holds &= bool(np.all(np.abs(found - each["constant"]) <= 0.01 * each["constant"]))
    holds &= bool(abs(each["secant"] - each["constant"]) <= 0.02 * each["constant"])
    words = f"{each['name']} {found.max():.4g}"
    if each["constant"] > 1:
      holds &= bool(found.min() > 1)
      steep.append(words)
    else:
      holds &= bool(max(found.max(), each["secant"]) <= 1 + 1e-5)
      gentle.append(words)
  holds &= bool(steep and gentle)
  found, bound = np.array([[each["found"], each["bound"]] for each in numbers["critics"]]).T
  holds &= bool(np.all((found > 0) & (found <= bound) & np.isfinite(bound)))
  ratio = bound / np.maximum(found, 1e-30)
  return verdict(
    holds,
    f"Largest gradient norms found: {', '.join(steep)}, which refutes; {', '.join(gentle)}. Of"
    f" {len(found)} critics the certified bound is {span(ratio, '.2g')} times what is found.",
  )


def _draw(functions):
  figure, panels = make_panels(2, 3, size=(10, 6))
  for axes, row, own in zip(panels.ravel(), _FUNCTIONS, functions, strict=True):
    name, function, half, _ = row
    x = np.linspace(-half, half, 401)
    y = np.asarray(function(x), np.float64)
    for i, at in enumerate((-0.6 * half, 0.0, 0.7 * half)):
      value = float(function(jnp.float32(at)))
      low, high = value - np.abs(x - at), value + np.abs(x - at)
      words = "where a slope of at most 1 leads" if i == 0 else None
      axes.fill_between(x, low, high, color=f"C{i}", alpha=0.15, linewidth=0, label=words)
      axes.plot([at], [value], ".", color=f"C{i}", markersize=9)
      left = np.where((y < low - 1e-6) | (y > high + 1e-6), y, np.nan)
      axes.plot(x, left, color="tab:red", linewidth=4, alpha=0.35)
    axes.plot(x, y, color="black", linewidth=1.3, label="function (red: outside a cone)")
    margin = 0.3 * np.ptp(y)
    axes.set(xlim=(-half, half), ylim=(y.min() - margin, y.max() + margin))
    axes.set_title(f"{name}: largest norm found {max(own['found']):.3g}", fontsize=9)
  caption = "Functions, and cones of slope 1 at three points, which 1-Lipschitz ones never leave."
  return picture(figure, caption)


def _draw_critics(critics, seeds):
  figure, axes = make_panels(size=(5.4, 4))
  for width in (16, 64):
    own = [(each["found"], each["bound"]) for each in critics if each["width"] == width]
    axes.plot(*zip(*own, strict=True), "o", label=f"critics of 3 x {width}")
  ends = [min(each["found"] for each in critics), max(each["bound"] for each in critics)]
  axes.plot(ends, ends, color="gray", linewidth=0.8, linestyle=":", label="equal")
  axes.set(xlabel="largest gradient norm found", ylabel="certified bound of it")
  caption = f"Critics at their start: a search in [-1, 1]^2, and a proved bound; {seeds} seeds."
  return picture(figure, caption)


CLAIM = Claim(
  _measure, _criterion, name="lipschitz_condition", place=8, source="Course, row 8",
  sentence="A function is 1-Lipschitz where its gradient's norm is at most 1 at every point: x^2 is"
  " not, nor is 2x; a smooth curve of bounded slope is.",
  settings="Functions of one number on stated domains, on which the answer depends. ReLU critics of"
  " the plane with random weights. A search for the largest gradient norm, a grid's steepest"
  " secant, a product of operator norms.",
  criterion_text="Every search finds a function's constant to 1 %, the steepest secant is that to 2"
  " %; above 1 for x^2 on [-2, 2] and 2x, else at most 1 + 1e-5. No critic's exceeds its bound.",
  quick=dict(seeds=3, points=401), full=dict(seeds=20), tiny=dict(seeds=1, points=51),
  minutes=dict(quick=0.3, full=2.0),
)  # fmt: skip

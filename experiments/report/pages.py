"""Pages of HTML from templates that extend `base.html.jinja`, with pictures inside."""

import base64
import pathlib

import jinja2

from experiments.figures.pictures import Picture


def render_page(template: pathlib.Path, **values) -> str:
  """Renders a template, which may be in any folder.

  Args:
    template: its file; it extends `base.html.jinja` of this folder.
    **values: everything that the template names.
  """
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader([template.parent, pathlib.Path(__file__).parent]),
    autoescape=lambda name: name.endswith(".html.jinja"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters |= {"embed": _embed, "minutes": minutes}
  return environment.get_template(template.name).render(**values)


def minutes(seconds: float) -> str:
  """Writes seconds as minutes and seconds: "2:05"."""
  return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _embed(picture: Picture) -> str:
  return f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"

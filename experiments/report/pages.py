"""Pages from templates; those of HTML extend `base.html.jinja`, with pictures inside."""

import base64
import pathlib

import jinja2

from experiments.figures.pictures import Picture


def render_page(template: pathlib.Path, **values) -> str:
  """Renders a template of any folder, which may extend `base.html.jinja` of this one."""
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader([template.parent, pathlib.Path(__file__).parent]),
    autoescape=lambda name: name.endswith(".html.jinja"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters |= {"embed": _embed, "minutes": _minutes}
  return environment.get_template(template.name).render(**values)


def _minutes(seconds: float) -> str:
  """Writes seconds as minutes and seconds: "2:05"."""
  return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _embed(picture: Picture) -> str:
  return f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"

"""What pages share: each is one file, with every picture inside it, and no script or link."""

from importlib import resources

import jinja2

from beam_pipelines.drawing import palette
from beam_pipelines.drawing.wording import count, duration, percent


def environment(package: str) -> jinja2.Environment:
    """Reads the templates of a package from its folder `templates`; a name that a template lacks is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(count=count, percent=percent, duration=duration)
    return made


def style_sheet() -> str:
    """CSS of a page, with the palette as its variables."""
    text = resources.files("beam_pipelines.drawing").joinpath("templates/page.css").read_text("utf-8")
    colours = {
        "ink": palette.INK,
        "muted": palette.MUTED,
        "line": palette.LINE,
        "normal": palette.CLASS_COLOURS[0],
        "tumor": palette.CLASS_COLOURS[1],
    }
    return ":root {" + "".join(f"--{name}: {colour};" for name, colour in colours.items()) + "}\n" + text

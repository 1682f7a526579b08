"""From a Vega-Lite description to SVG, PNG and the scripts of a page, all without a browser."""

from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from evenbatch import files
from evenbatch.report import style

VERSION = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
PNG_SCALE = 2
EXPORT = "window.vegaEmbed = vegaEmbed;"  # the one name that a page needs of it


def save(spec: dict[str, Any], svg: Path, png: Path) -> None:
    """Writes a chart as SVG and, from the same drawing, as PNG with twice as many pixels.

    Raises:
        StorageError: a file could not be written.
    """
    drawn = vl_convert.vegalite_to_svg(spec, vl_version=VERSION, config=style.static_config())
    files.write_text(svg, drawn)
    files.write_bytes(png, vl_convert.svg_to_png(drawn, scale=PNG_SCALE))


def script() -> str:
    """JavaScript that draws Vega-Lite charts in a page and asks for nothing else."""
    bundle: str = vl_convert.javascript_bundle(EXPORT, vl_version=VERSION)
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")

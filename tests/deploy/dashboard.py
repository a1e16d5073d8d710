"""The dashboard as Grafana would ask it: every panel's query with its variables filled in."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

SCRAPE_S = 5
DEPLOY = Path(__file__).parents[2] / "deploy"
JSON = json.loads((DEPLOY / "grafana/dashboards/lectorium.json").read_text("utf-8"))


class Query(NamedTuple):
    """One line, or family of lines, of a panel."""

    panel: str
    ref: str
    expression: str

    def __str__(self) -> str:
        return f"{self.panel}, {self.ref}"


def panels() -> list[dict[str, Any]]:
    """Every panel that shows something, so no rows."""
    return [panel for panel in JSON["panels"] if panel["type"] != "row"]


def queries() -> list[Query]:
    """Every panel's queries, in the order of the page."""
    return [Query(panel["title"], t["refId"], t["expr"]) for panel in panels() for t in panel["targets"]]


def variables() -> dict[str, str]:
    """The variables that a query fills: their names and queries."""
    return {v["name"]: v["query"]["query"] for v in JSON["templating"]["list"] if v["type"] == "query"}


def filled(expression: str, model: str, surface: str) -> str:
    """The expression as Grafana sends it for the last half hour of a service scraped every 5 s."""
    values = {
        "__rate_interval": f"{4 * SCRAPE_S}s",
        "__interval": f"{SCRAPE_S}s",
        "model": model,
        "surface": surface,
    }
    return re.sub(r"\$(\w+)", lambda match: values[match[1]], expression)

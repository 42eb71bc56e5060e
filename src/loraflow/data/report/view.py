"""Puts the report's numbers into its template."""

from collections.abc import Mapping
from typing import Any

from loraflow.data.report.difference import mark_both, mark_new, mark_old
from loraflow.page.render import Filters, render_page
from loraflow.page.text import spell_spaces


def render(page: Mapping[str, Any]) -> str:
    """Return the page: one document, complete in itself."""
    filters: Filters = {"spaces": spell_spaces, "old": mark_old, "new": mark_new, "both": mark_both}
    return render_page("report.html.j2", page, package=__package__, filters=filters)

"""Tables of figures: a heading, then rows of texts; for a terminal and for a page."""

from __future__ import annotations


def text_table(table: list[list[str]]) -> str:
    """Columns aligned with blanks; the first to the left, figures to the right."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown_table(table: list[list[str]]) -> str:
    """The same as a Markdown table."""
    heading, *body = table
    rule = ["---", *("---:" for _ in heading[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in [heading, rule, *body])


def number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def verdict(value: float | None, limit: float, *, at_least: bool) -> str:
    if value is None:
        return "not measured"
    return "reached" if (value >= limit if at_least else value <= limit) else "NOT reached"

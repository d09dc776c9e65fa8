"""From tables to the report: sections, notebook, page."""

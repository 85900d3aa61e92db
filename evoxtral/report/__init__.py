"""What a notebook leaves behind: tables, figures, results, and where they came from."""

from __future__ import annotations

from evoxtral.report.output import Report

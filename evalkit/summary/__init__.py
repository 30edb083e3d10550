"""What a run comes to, made once: terminal, page, merge request, notebook and file say the same."""

from evalkit.summary.summary import Next, Row, Setting, Summary, Unmet
from evalkit.summary.summing import summarise

__all__ = ["Next", "Row", "Setting", "Summary", "Unmet", "summarise"]

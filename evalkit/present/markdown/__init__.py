"""Markdown for a merge request."""

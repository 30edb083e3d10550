"""A run as documents to share: `html.page`, one file that opens anywhere, and `markdown.document`, for a merge request. Both return text."""

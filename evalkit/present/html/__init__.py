"""One page that opens anywhere: its content, style and scripts."""

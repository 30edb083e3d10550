"""From records to scores: answers gathered by cell and prompt, measured on one basis, kept as tables."""

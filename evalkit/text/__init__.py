"""Texts: escaped for where they are shown, numbers as people read them."""

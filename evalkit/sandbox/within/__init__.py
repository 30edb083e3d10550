"""What runs behind the walls, as a program of its own: it imports the standard library alone, and nothing of evalkit but these modules."""

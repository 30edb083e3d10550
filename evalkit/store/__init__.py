"""What is on disk in a results folder: the types, their readers and writers."""

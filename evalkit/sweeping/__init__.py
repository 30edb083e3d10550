"""An experiment into a results folder: the one path that the command line, a notebook and a script take."""

"""What ``evalkit --help`` prints, ready: to put it together takes longer than all else that it does. Written by ``python docs/commands.py``."""

from __future__ import annotations

HELP = """\
Usage: {program} [OPTIONS] COMMAND [ARGS]...

  Sweep the sampling parameters of a chat API over a prompt set, and see which
  settings suit.

Options:
  --version  Show the version and exit.
  --debug    Show where an internal error comes from.
  --help     Show this message and exit.

Commands:
  sweep    Send what has no answer yet; record, score, show.
  plan     Show what a sweep would send; sends nothing.
  score    Score a run again from its records.
  report   Write report.html, one file that opens anywhere, and...
  probe    Find out which parameters an endpoint honours.
  serve    Serve the embedded model to any OpenAI client.
  init     Write a starter experiment that runs as it is, of your own...
  import   Make a prompt set of a file as it is; an experiment can also...
  schema   Print a JSON Schema: of experiment files, for editors, or of...
  batch    Write the requests of an experiment as files for a provider's...
  compare  Compare a run with a baseline; exit 1 where it got worse.
  export   Give a run to other tools: its answers, its setting as a...
  docs     Show a page of the guide; no network is needed.
  merge    Join runs of one experiment: shards, halves from two machines,...
  plot     Draw one figure of a run, with its intervals, as png, svg or pdf.
  show     Show a run: what to use and why, or one of its tables.
  view     Show runs in a browser, while they happen and after, and let...

  Exit status: 0 done; 1 a check failed; 2 wrong usage or input, or the
  endpoint cannot be used; 3 the run is incomplete (run again to go on); 130
  interrupted.
"""
"""The text, with the program's name to be filled in."""

"""The runs of a folder in a browser, while they happen and after: a local app that reads, and writes nothing but people's ratings."""

"""What `evalkit probe` says before it asks and shows when it has."""

from __future__ import annotations

from pathlib import Path

from evalkit.cli.shown import written
from evalkit.cli.terminal import complain, console
from evalkit.present.terminal.meaning import of_compared, of_meaning
from evalkit.present.terminal.probe import of_probe
from evalkit.probe import KNOWN, MOST_CALLS, MOST_CALLS_OF_MEANING, USUAL_CALLS_OF_MEANING, Probe, usual_calls
from evalkit.probe.findings import read_probe
from evalkit.probe.meaning.corners import CALLS_OF_CORNERS, named
from evalkit.probe.meaning.found import QUESTIONS
from evalkit.probe.subject import Subject
from evalkit.text.escaping import harmless


def announced(probed: Subject, depth: str, calls: int | None, corners: bool) -> tuple[str, str, int]:
    """What will be probed and by how many calls, a line with all that is asked, and how many things that are."""
    where = f"{harmless(probed.endpoint.model)} at {probed.endpoint.base_url}"
    if depth == "meaning":
        most = calls or MOST_CALLS_OF_MEANING + CALLS_OF_CORNERS * corners
        words = f"{where}: at most {most} calls, usually about {min(USUAL_CALLS_OF_MEANING, most)}, at most 60 of them of more than one token"
        if corners:
            words = f"{words}; up to {min(CALLS_OF_CORNERS, most // 2)} of them are for --corners where no log probabilities are given"
        at = "; ".join(named(one.get("temperature"), one.get("top_p")) for one in probed.corners)
        asked = f"questions: {', '.join(about for about, _, _ in QUESTIONS.values())}\ndistance from the definition: {at or 'at no level above 0'}"
        return words, asked, len(QUESTIONS)
    names, most = probed.names(), calls or MOST_CALLS
    words = f"{where}: at most {most} calls, usually about {usual_calls(len(names) - len(KNOWN), most)}"
    return words, "parameters: " + ", ".join(names), len(names)


def shown_probe(result: Probe, place: Path | None, json: Path | None, depth: str) -> None:
    """The findings of that depth on the screen, or all as JSON, and where they are kept."""
    if json is not None:
        written(json, result)
    if str(json) == "-":
        return
    screen = console()
    screen.print(of_meaning(result) if depth == "meaning" else of_probe(result))
    for note in result.notes:
        screen.print(f"note: {harmless(note)}", markup=False)
    if place is not None:
        print(f"Evidence: {place}")


def compared(one: Path, other: Path) -> None:
    """What two probes found differently, as a table. Raises `RecordError` where one cannot be read."""
    probes = []
    for path in (one, other):
        found, told = read_probe(path)
        probes.append(found)
        for note in told:
            complain(f"note: {note}")
    console().print(of_compared(probes[0], probes[1]))

"""A comparison as JUnit XML, which GitLab and GitHub show: a test case a metric, failed where the gate fails on it."""

from __future__ import annotations

from xml.etree import ElementTree

from evalkit.comparison.comparison import Comparison, failing, objections_of_answers
from evalkit.comparison.verdict import Compared
from evalkit.present.text.comparison import ON_TIME, ends, signature
from evalkit.text.escaping import harmless
from evalkit.text.numbers import figure, p_value, signed_figure

_CLASS = "evalkit.comparison"


def comparison_junit(found: Comparison) -> str:
    """The whole file.

    What the gate judges and cannot tell is skipped, with the reason; where the gate fails on that too, it is failed.
    """
    suite = ElementTree.Element("testsuite", name=harmless(f"evalkit compare: {found.candidate.name}"))
    for one in found.metrics:
        _add(suite, one, failing(one, found.fail_on))
    answers = objections_of_answers(found)
    if {"failures", "incomplete"} & set(found.fail_on):
        case = ElementTree.SubElement(suite, "testcase", classname=_CLASS, name="answers", time="0")
        if answers:
            ElementTree.SubElement(case, "failure", message=harmless(answers[0]), type="failures").text = harmless("; ".join(answers))
    for name, tag in (("tests", "testcase"), ("failures", "testcase/failure"), ("skipped", "testcase/skipped")):
        suite.set(name, str(len(suite.findall(tag))))
    suite.set("errors", "0")
    suite.set("time", "0")
    ElementTree.SubElement(suite, "system-out").text = harmless(signature(found))
    root = ElementTree.Element("testsuites", {name: suite.get(name, "0") for name in ("tests", "failures", "errors", "skipped", "time")})
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _add(suite: ElementTree.Element, one: Compared, failed: bool) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=_CLASS, name=harmless(one.metric), time="0")
    said = (
        f"{one.metric}: {one.verdict}\nbaseline {figure(one.baseline)}, candidate {figure(one.candidate)}, "
        f"difference {signed_figure(one.difference)} {ends(one)} (95 %), adjusted p {p_value(one.p_adjusted)}, "
        f"margin {figure(one.margin)} ({one.margin_from}), {one.n_prompts} prompts"
    )
    if one.reason:
        said += f"\n{one.reason}"
    said = "\n".join(map(harmless, said.split("\n")))
    if failed:
        ElementTree.SubElement(case, "failure", message=said.partition("\n")[0], type=one.verdict).text = said
    elif one.gated and one.verdict == "inconclusive":
        ElementTree.SubElement(case, "skipped", message=harmless(one.reason or "unclear")).text = said
    else:
        ElementTree.SubElement(case, "system-out").text = said if one.gated else f"{said}\nshown, not judged. {ON_TIME}"

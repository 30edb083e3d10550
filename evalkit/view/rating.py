"""Rating in the browser: the page, what it shows next, what it sends, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from evalkit.errors import EvalkitError, RecordError
from evalkit.view.pages import page
from evalkit.view.reading import content_of

if TYPE_CHECKING:
    from evalkit.scoring.preference import People
    from evalkit.stats.intervals import Interval
    from evalkit.view.desk import Desk
    from evalkit.view.opened import Opened
    from evalkit.view.viewer import Viewer

_LARGEST = 4_096
_LONGEST_NAME = 60
_LONGEST_TEXT = 60_000


def desk(request: Request, viewer: Viewer) -> Response:
    """The page on which a person rates."""
    from evalkit.text.escaping import visible  # late, as above

    name = request.path_params["name"]
    opened = viewer.opened(name)
    judges: list[dict[str, Any]] = [
        {"name": one.name, "rubric": visible(one.rubric.strip()), "low": one.scale.min, "high": one.scale.max}
        | {"labels": [(number, visible(label)) for number, label in sorted(one.labels.items())]}
        for one in opened.experiment.judges
    ]
    wanted = request.query_params.get("judge", "")
    judge = next((one for one in judges if one["name"] == wanted), None)
    scale = list(range(judge["low"], judge["high"] + 1))[:101] if judge is not None else []
    return page(
        "rate.html.j2",
        name=name,
        tabs=viewer.tabs(name),
        here="rate",
        csrf=viewer.csrf,
        raters=viewer.raters,
        judges=judges,
        judge=judge,
        scale=scale,
    )


def following(request: Request, viewer: Viewer) -> Response:
    """What is shown next to a person."""
    name, asked = request.path_params["name"], request.query_params
    opened = viewer.opened(name)
    try:
        rater = _rater(asked.get("rater"), viewer.raters)
        with opened.lock:
            at = viewer.desks.of(opened)
            at.refresh()
            judge = _judge(opened, asked.get("judge"))
            drawn = at.pair(rater) if judge is None else at.single(rater, judge)
            return JSONResponse(_state(at, rater, None if judge is None else judge.name) | ({"over": True} if drawn is None else _dealt(at, *drawn)))
    except EvalkitError as fault:
        return JSONResponse({"fault": str(fault)}, 400)


def _dealt(at: Desk, name: str, what: Any) -> dict[str, Any]:
    from evalkit.text.escaping import visible  # late, as above

    prompt = next(one for one in at.opened.experiment.prompts if one.id == what.prompt_id)
    texts = [visible(text[:_LONGEST_TEXT]) + (" …" if len(text) > _LONGEST_TEXT else "") for text in at.shown(what)["texts"]]
    asked = [[visible(str(one.get("role"))), content_of(one)] for one in prompt.conversation()]
    return {"deal": name, "prompt": [[role, _sound(text)] for role, text in asked], "texts": list(map(_sound, texts))}


def _sound(text: str) -> str:
    """The text as UTF-8 can hold it."""
    return text.encode("utf-8", "replace").decode()


def _state(at: Desk, rater: str, judge: str | None) -> dict[str, Any]:
    joined, wanted = at.connected()
    return {"count": at.count(rater, judge), "joined": joined, "wanted": wanted, "mended": at.mended}


def _rater(said: object, raters: Sequence[str]) -> str:
    name = said.strip() if isinstance(said, str) else ""
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise RecordError(f"give a name that you rate by, of at most {_LONGEST_NAME} letters")
    if raters and name not in raters:
        raise RecordError(f"only {', '.join(raters)} may rate here")
    return name


def _judge(opened: Opened, said: object) -> Any:
    if not said:
        return None
    found = next((one for one in opened.experiment.judges if one.name == said), None)
    if found is None:
        raise RecordError("this run has no judge of that name")
    return found


def receiving(viewer: Callable[[], Viewer]) -> Callable[[Request], Any]:
    """What takes a rating: the one thing that is written."""

    async def receive(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return JSONResponse({"fault": "a rating is JSON"}, 415)
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > _LARGEST:
                return JSONResponse({"fault": "a rating is small"}, 413)
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            return JSONResponse({"fault": "a rating is a JSON object"}, 400)
        try:
            return await run_in_threadpool(_take, request.path_params["name"], said, viewer())
        except EvalkitError as fault:
            return JSONResponse({"fault": str(fault)}, 400)

    return receive


def _take(name: str, said: dict[str, Any], viewer: Viewer) -> Response:
    from evalkit.store.ratings import Rating  # late, as above
    from evalkit.store.records import moment  # as above

    opened = viewer.opened(name)
    rater = _rater(said.get("rater"), viewer.raters)
    with opened.lock:
        at = viewer.desks.of(opened)
        what = at.dealt.get(str(said.get("deal")))
        if what is None:
            return JSONResponse({"fault": "this was shown by a viewer that has ended; the next is drawn", "again": True}, 409)
        about: dict[str, Any] = {"at": moment(), "rater": rater, "prompt_id": what.prompt_id, "left": what.left}
        if what.right is not None:
            verdict = said.get("verdict")
            if verdict not in ("left", "right", "tie"):
                raise RecordError("expected the verdict left, right or tie")
            rating = Rating(**about, right=what.right, verdict=verdict)
        else:
            judge, score = _judge(opened, what.judge), said.get("score")
            if isinstance(score, bool) or not isinstance(score, int) or not judge.scale.min <= score <= judge.scale.max:
                raise RecordError(f"expected a whole number from {judge.scale.min} to {judge.scale.max}")
            rating = Rating(**about, judge=judge.name, score=score)
        at.take(rating)
        return JSONResponse(_state(at, rater, what.judge))


def people_of(at: Desk) -> People:
    """What the ratings of a run come to."""
    from evalkit.scoring.preference import people  # late, as above

    at.refresh()
    return people(at.opened.folder, at.opened.experiment, at.rated, at.answers)


def ratings(request: Request, viewer: Viewer) -> Response:
    """The page of what people's ratings come to."""
    from evalkit.present.text.ratings import agreed, said_of, strength  # late, as above
    from evalkit.text.escaping import visible  # as above

    name = request.path_params["name"]
    opened = viewer.opened(name)
    with opened.lock:
        at = viewer.desks.of(opened)
        found = people_of(at)
        ends = [end for one in found.settings for end in (one.strength.low, one.strength.high, one.strength.mean) if end == end]
        reach = max([1.0, *(abs(end) for end in ends)])
        rows: list[dict[str, Any]] = [
            {
                "cell": one.cell,
                "name": visible(opened.name_of(one.cell)),
                "strength": strength(one.strength),
                "share": one.share,
                "comparisons": one.comparisons,
                "marks": _marks(one.strength, reach),
            }
            for one in found.settings
        ]
        return page(
            "ratings.html.j2",
            name=name,
            tabs=viewer.tabs(name),
            here="ratings",
            found=found,
            said=[visible(one) for one in said_of(found)],
            rows=[row | {"share": _share(row["share"])} for row in rows],
            agreement=[(visible(one.judge), *agreed(one)) for one in found.agreement],
            mended=at.mended,
        )


def _share(one: Interval) -> str:
    from evalkit.summary.quantities import measured  # late, as above

    return measured(one.mean, None if one.low != one.low else one.low, None if one.high != one.high else one.high, "share")


def _marks(one: Interval, reach: float) -> dict[str, str]:
    """Places from 0 to 200 of a strength and its interval."""

    def at(value: float) -> str:
        return "" if value != value else f"{100 + 94 * max(-1.0, min(1.0, value / reach)):.1f}"

    return {"mean": at(one.mean), "low": at(one.low), "high": at(one.high)}


def in_short(opened: Opened) -> list[str]:
    """What people's ratings come to, in sentences for a run's first page; none where nobody rated."""
    from evalkit.present.text.ratings import said_of  # late, as above
    from evalkit.store.ratings import FILE  # as above
    from evalkit.view.desk import Desk  # as above

    if not (opened.folder / FILE).exists():
        return []
    try:
        return said_of(people_of(Desk(opened)), opened.name_of)[:3]
    except RecordError as fault:
        return [str(fault)]

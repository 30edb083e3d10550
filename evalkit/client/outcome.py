"""What came of a call: the one place that names finish reasons and errors, and says what each of them means.

Servers tell an error in five places: the HTTP status, an ``error`` in a body whose status is 200, a flat body without choices, a choice, an event
in the middle of a stream. `read_error` reads them all alike, and who is at fault decides what follows: the account and the key stop a run, a prompt
and a setting are recorded, an address is of no use at all, and nobody's fault passes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from evalkit.client.headers import duration_s
from evalkit.store.records import Completion, Ending, Kind

Fault = Literal["account", "key", "prompt", "setting", "address", "nobody"]
"""Who a refusal is about. ``nobody``: trouble that passes."""

NO_KEY = "no_key"
"""The code of a refusal that is our own: no key could be had."""

FINISH_REASONS: Mapping[str, Ending] = {
    **dict.fromkeys(("stop", "eos", "end_turn", "stop_sequence", "tool_calls", "function_call", "tool_use"), "whole"),
    **dict.fromkeys(("length", "max_tokens", "model_length", "max_output_tokens", "model_context_window_exceeded"), "cut"),
    **dict.fromkeys(("content_filter", "content_filtered", "guardrail_intervened"), "filtered"),
    **dict.fromkeys(("safety", "recitation", "blocklist", "prohibited_content"), "filtered"),
    "refusal": "refused",
    **dict.fromkeys(("error", "abort", "cancelled", "network_error", "insufficient_system_resource", "malformed_function_call"), "broken"),
}
"""Finish reasons in lower case, as servers of all kinds send them; any other word is unknown."""


def ending_of(finish_reason: str | None) -> Ending:
    """What a finish reason means, whatever its case."""
    return FINISH_REASONS.get((finish_reason or "").strip().lower(), "unknown")


def ending(completion: Completion, body: Mapping[str, Any]) -> Ending:
    """How an answer ended, given the fields of its request: where no finish reason tells, all tokens that were allowed are evidence of *cut*."""
    if completion.ending is not None:
        return completion.ending
    if completion.refusal and not completion.text and ending_of(completion.finish_reason) == "whole":
        return "refused"
    usage = completion.usage if completion.usage_shared_by == 1 else None
    return ending_by_count(completion.finish_reason, None if usage is None else usage.completion_tokens, limit_of(body))


def ending_by_count(finish_reason: str | None, tokens: float | None, limit: float | None) -> Ending:
    """What a finish reason means, or where it means nothing what the tokens of the answer tell, as many as were allowed."""
    told = ending_of(finish_reason)
    return "cut" if told == "unknown" and tokens is not None and limit is not None and tokens >= limit else told


def limit_of(body: Mapping[str, Any]) -> int | None:
    """The most tokens that a request allows its answer; None where it sets no limit."""
    limits = [body[name] for name in ("max_tokens", "max_completion_tokens") if isinstance(body.get(name), int) and not isinstance(body[name], bool)]
    return min(limits) if limits else None


class Diagnosis(NamedTuple):
    """What a reply that is no answer means.

    Attributes:
        kind: as it is recorded.
        fault: whom it is about; None where nobody says, and the request is recorded.
        message: in the server's words.
        param, code: as the server names them.
        certain: fields tell, not words alone; of an address: one such reply tells, not only many of them.
        wait_s: how long the body asks to wait.
    """

    kind: Kind
    fault: Fault | None
    message: str
    status: int | None = None
    param: str | None = None
    code: str | None = None
    certain: bool = True
    wait_s: float | None = None

    @property
    def again(self) -> bool:
        """Whether it may pass, so that the same may be asked again."""
        return self.fault == "nobody" or (self.fault == "address" and self.kind == "malformed")


_WORDS_OF_STATUS: Mapping[int, str] = {
    400: "invalidrequest invalidrequesterror badrequest badrequesterror invalidargument failedprecondition",
    401: "unauthenticated unauthorized authentication authenticationerror invalidapikey invalidauthentication",
    403: "permissiondenied permissionerror permissiondeniederror forbidden",
    404: "notfound notfounderror modelnotfound deploymentnotfound",
    405: "methodnotallowed",
    409: "aborted",
    413: "requesttoolarge contextlengthexceeded",
    429: "ratelimit ratelimiterror ratelimitexceeded ratelimited toomanyrequests resourceexhausted throttling throttlingexception",
    499: "cancelled",
    500: "servererror internal internalerror internalservererror apierror",
    503: "unavailable unavailableerror serviceunavailable serviceunavailableerror",
    504: "timeout timeouterror deadlineexceeded",
    529: "overloaded overloadederror",
}
"""Codes and types as words, without case and punctuation, that say the same as a status."""

_STATUS_OF_WORD = {one: status for status, words in _WORDS_OF_STATUS.items() for one in words.split()}


def _named(*words: str) -> frozenset[str]:
    return frozenset(one for line in words for one in line.split())


_ACCOUNT = _named(
    "insufficientquota billinghardlimitreached billingnotactive insufficientbalance insufficientcredits insufficientfunds budgetexceeded",
    "creditbalancetoolow paymentrequired outofcredits accountoverdue arrearage",
)
_FILTER = _named(
    "contentfilter contentfiltered contentpolicyviolation responsibleaipolicyviolation contentpolicy moderation moderationblocked safety",
    "inputmoderation datainspectionfailed promptblocked prohibitedcontent guardrailintervened contentmoderation flagged",
)
_FILTER_FIELDS = ("flagged_input", "content_filter_result", "content_filter_results", "moderation", "safety_ratings", "safetyRatings", "blockReason")
_TOO_LONG = _named("contextlengthexceeded requesttoolarge stringabovemaxlength payloadtoolarge contextwindowexceeded")
_MONEY = r"\b(balance|credits?|funds|budget)\b"
_GONE = r"(insufficient|too low|negative|exhausted|used up|depleted|exceeded)"
_NO_MONEY = re.compile(
    rf"(?i)({_GONE}|not enough|no( more| remaining)?|r[ua]n out of|out of|top[- ]?up|add|recharge)[^.]{{0,40}}{_MONEY}|{_MONEY}[^.]{{0,40}}{_GONE}"
)
_TOO_MANY = re.compile(r"(?i)\btoo many requests\b|\brate[ _-]?limit")
_CONTEXT = re.compile(
    r"(?i)(context|prompt|input|sequence)[ _](length|window|size)|maximum context|prompt is too long|too many (input )?tokens"
    r"|exceeds? the (model's )?context"
)
_UNITS = r"(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?)"
_DELAY = re.compile(rf"(?i)\b(?:retry|try again|wait|available|reset)[a-z ]{{0,24}}?\b(?:in|after|for)\s+(?:about\s+)?([0-9.]+)\s*{_UNITS}\b")
_UNIT_S = {"ms": 0.001, "mi": 60.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_OTHER_ADDRESS = re.compile(
    r"(?i)unexpected endpoint|no such (endpoint|route|path)|unknown (endpoint|route|path|url)|invalid url|cannot (get|post) /"
    r"|(route|path|url|page|resource)[^.]{0,40}not (found|supported)"
)
_READ = 20_000
"""How many characters of an error's words are searched for what they mean: a server may send megabytes."""
_WORDS = ("message", "detail", "msg", "error_msg", "error_message")
"""Fields in which servers put the words of an error."""
_TRANSIENT = frozenset({408, 409, 424, 425, 429, 498, 499})
_CHANGES = {"model", "messages", "tools", "tool_choice", "input", "prompt"}
"""Fields that are no settings of how an answer is sampled."""


def says_error(body: Any) -> bool:
    """Whether a decoded body or event is no answer but tells an error, nested or flat."""
    if isinstance(body, list):
        return bool(body) and all(isinstance(one, dict) and says_error(one) for one in body)
    if not isinstance(body, dict):
        return False
    if body.get("error") or body.get("errors"):
        return True
    if body.get("choices"):
        return False
    if str(body.get("object", "")).lower() == "error" or str(body.get("type", "")).lower() == "error":
        return True
    words = next((body[name] for name in _WORDS if body.get(name)), None)
    return words is not None and not isinstance(body.get("message"), dict)


def read_error(body: Any, status: int | None = None, wait_s: float | None = None) -> Diagnosis:
    """What an error means, in whichever place and shape it came.

    Args:
        body: the decoded body, event, ``error`` of a choice, or text; None where there was none.
        status: of HTTP, where it tells; a status of 200 tells nothing, the body does.
        wait_s: how long the headers ask to wait.
    """
    told = _fields(body)
    status = status if status is not None and status >= 300 else _status(told)
    words = _words(told, body)
    code = told.get("code")
    found = Diagnosis(
        kind="rejected",
        fault=None,
        message=words,
        status=status,
        param=_param(told),
        code=None if code is None or code == "" else _flat(code),
        wait_s=wait_s if wait_s is not None else _delay(told, words),
    )
    named = {_plain(told.get(name)) for name in ("code", "type", "status", "reason", "error_code")}
    if status == 402 or (named & _ACCOUNT and not (status == 429 and found.wait_s)):
        return found._replace(kind="account", fault="account")
    if named & _FILTER or _has_any(told, _FILTER_FIELDS):
        return found._replace(kind="refused_by_filter", fault="prompt")
    if status in (401, 403):
        return found._replace(kind="auth", fault="key")
    if status is None or status in _TRANSIENT or status >= 500:
        return _passing(found)
    return _rejected(found, too_long=bool(named & _TOO_LONG))


def _passing(found: Diagnosis) -> Diagnosis:
    """Diagnosis that passes; but a 429 without a delay, or what has no status at all, may be an empty account in words alone."""
    if found.status in (429, None):
        if not found.wait_s and _NO_MONEY.search(found.message[:_READ]):
            return found._replace(kind="account", fault="account", certain=False)
        if found.status == 429 or _TOO_MANY.search(found.message[:_READ]):
            return found._replace(kind="rate_limited", fault="nobody")
    return found._replace(kind="timeout" if found.status == 408 else "server", fault="nobody")


def _rejected(found: Diagnosis, *, too_long: bool) -> Diagnosis:
    """A request that is refused for good: whom that is about."""
    status, root = found.status or 0, None if found.param is None else _root(found.param)
    if 300 <= status < 400 or status in (404, 405) or (root == "model" and status in (400, 422)):
        return found._replace(fault="address")
    if status == 413 or too_long or (root is None and _CONTEXT.search(found.message[:_READ])) or root in ("messages", "input", "prompt"):
        return found._replace(fault="prompt")
    if root is not None and root not in _CHANGES:
        return found._replace(fault="setting")
    if _NO_MONEY.search(found.message[:_READ]):
        return found._replace(kind="account", fault="account", certain=False)
    return found


def no_answer(raw: bytes) -> Diagnosis:
    """What a body with status 200 means that is no answer: an error in it, a page of something else, or nothing that can be read."""
    text = raw.decode("utf-8", "replace").lstrip("\ufeff").strip()
    try:
        body = json.loads(text) if text else None
    except (ValueError, RecursionError):
        body = None
    if says_error(body):
        found = read_error(body)
        if _status(_fields(body)) is None and _OTHER_ADDRESS.search(found.message[:_READ]):
            return found._replace(kind="malformed", fault="address")
        return found
    if text[:200].lower().startswith(("<!doctype", "<html", "<head", "<body")):
        title = re.search(r"(?is)<title[^>]*>(.*?)</title>", text[:_READ])
        named = f" ({' '.join(title[1].split())[:80]})" if title and title[1].strip() else ""
        return Diagnosis("malformed", "address", f"a web page instead of an answer{named}: {text}")
    words = f"not a chat completion: {text}" if text else "an empty body"
    if text[:1] in ("{", "[") and (not isinstance(body, dict) or "choices" in body or str(body.get("object", "")).startswith("chat.")):
        return Diagnosis("malformed", "nobody", words)  # by its looks an answer, and a broken one
    return Diagnosis("malformed", "address", words, certain=False)


def _fields(body: Any) -> dict[str, Any]:
    """The fields of an error, wherever it keeps them: those inside ``error`` before those around it."""
    if isinstance(body, list):
        body = next((one for one in body if isinstance(one, dict)), body[0] if body else None)
    if isinstance(body, str):
        return {"message": body}
    if not isinstance(body, Mapping):
        return {}
    inner = body.get("error") or body.get("errors")
    if isinstance(inner, list):
        inner = next(iter(inner), None)
    around = {name: value for name, value in body.items() if name not in ("error", "errors") and value is not None}
    if isinstance(inner, str):
        return {**around, "message": inner}
    if isinstance(inner, Mapping):
        return {
            **{name: value for name, value in around.items() if name in ("code", "status", "status_code", "statusCode", "detail", "msg")},
            **inner,
        }
    return around


def _status(told: Mapping[str, Any]) -> int | None:
    """The HTTP status that the fields of an error tell: as a number, as digits, or as a word."""
    for name in ("code", "status", "status_code", "statusCode", "http_status", "httpStatus", "type", "reason", "error_code"):
        value = told.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        digits = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
        if digits.isascii() and digits.isdigit() and 300 <= int(digits[:9]) < 600:
            return int(digits)
        if isinstance(value, str) and (found := _STATUS_OF_WORD.get(_plain(value))) is not None:
            return found
    return None


def _words(told: Mapping[str, Any], body: Any) -> str:
    for name in (*_WORDS, "error", "title", "description"):
        if told.get(name):
            return _flat(told[name])
    if told:
        return _flat(dict(told))
    return "" if body is None else _flat(body)


def _param(told: Mapping[str, Any]) -> str | None:
    """The field of the request that the error is about; FastAPI tells it as a path in ``detail``."""
    param = told.get("param")
    if param:
        return _flat(param)
    detail = told.get("detail")
    first = detail[0] if isinstance(detail, list) and detail else None
    where = first.get("loc") if isinstance(first, Mapping) else None
    if isinstance(where, list):
        names = [str(one) for one in where if one != "body"]
        return ".".join(names) or None
    return None


def _delay(told: Mapping[str, Any], words: str) -> float | None:
    """Seconds that an error's body asks to wait: Google's ``RetryInfo``, a ``retry_after``, or in words."""
    for name in ("retry_after", "retryAfter", "retry_after_s", "retry_delay", "retryDelay"):
        if (found := _seconds(told.get(name))) is not None:
            return found
    details = told.get("details")
    for one in details if isinstance(details, list) else ():
        if isinstance(one, Mapping) and (found := _seconds(one.get("retryDelay"))) is not None:
            return found
    metadata = told.get("metadata")
    if isinstance(metadata, Mapping) and (found := _seconds(metadata.get("retry_after") or metadata.get("retry_after_seconds"))) is not None:
        return found
    match = _DELAY.search(words[:_READ])
    if match is None:
        return None
    unit = match[2].lower()
    number = _seconds(match[1])
    return None if number is None else number * (_UNIT_S.get(unit[:2]) or _UNIT_S[unit[0]])


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return duration_s(str(value))


def _has_any(value: Any, names: Iterable[str], depth: int = 0) -> bool:
    """Whether a field of one of these names, with something in it, stands anywhere in an error."""
    if depth > 6:
        return False
    if isinstance(value, Mapping):
        return any((name in names and bool(one)) or _has_any(one, names, depth + 1) for name, one in value.items())
    return isinstance(value, list) and any(_has_any(one, names, depth + 1) for one in value[:50])


def _root(param: str) -> str:
    return re.split(r"[.\[]", param.strip(), maxsplit=1)[0]


def _plain(value: Any) -> str:
    """A word without case and punctuation, so that ``insufficient_quota`` and ``InsufficientQuota`` are one."""
    return re.sub(r"[^a-z0-9]", "", value.lower()) if isinstance(value, str) else ""


def _flat(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)

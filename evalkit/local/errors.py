"""A request that cannot be answered, in the words and the form of OpenAI's API."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """A request that is answered with an error body.

    Attributes:
        status: the HTTP status.
        body: OpenAI's error object, ``{"error": {"message", "type", "param", "code"}}``.
    """

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None, kind: str | None = None) -> None:
        super().__init__(sendable(message))
        self.status = status
        where = None if param is None else sendable(param)
        kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
        self.body: dict[str, Any] = {"error": {"message": sendable(message), "type": kind, "param": where, "code": code}}


def missing(name: str) -> ApiError:
    """The answer to a request without a parameter that it needs."""
    return ApiError(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def wrong_type(name: str, value: object, expected: str) -> ApiError:
    """The answer to a value of another type than `expected`, which carries its article."""
    return ApiError(400, f"Invalid type for '{name}': expected {expected}, but got {kind_of(value)} instead.", param=name, code="invalid_type")


def wrong_value(name: str, value: str, known: tuple[str, ...]) -> ApiError:
    """The answer to a string that is none of those `known`."""
    quoted = [f"'{one}'" for one in known]
    listed = f"{', '.join(quoted[:-1])}, and {quoted[-1]}" if len(quoted) > 2 else " and ".join(quoted)
    return ApiError(400, f"Invalid value: '{value[:40]}'. Supported values are: {listed}.", param=name, code="invalid_value")


def unsupported(name: str) -> ApiError:
    """The answer to a parameter that the API knows and the model does not."""
    return ApiError(400, f"Unsupported parameter: '{name}' is not supported with this model.", param=name, code="unsupported_parameter")


def unknown(name: str) -> ApiError:
    """The answer to a parameter that nobody knows."""
    return ApiError(400, f"Unrecognized request argument supplied: {name[:100]}", param=name[:100], code="unknown_parameter")


def sendable(text: str) -> str:
    """`text` with the lone surrogates escaped that JSON may hold and UTF-8 may not."""
    return text.encode("utf-8", "backslashreplace").decode()


def kind_of(value: object) -> str:
    """What a value is, in JSON's words, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal" if math.isfinite(value) else "no finite number"
        case str():
            return "a string"
        case []:
            return "an empty array"
        case list():
            return "an array"
        case Mapping():
            return "an object"
        case _:
            return "an unknown type"

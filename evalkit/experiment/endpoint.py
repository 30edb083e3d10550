"""Where an experiment's requests go, and how they get there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from evalkit.experiment.known_prices import known
from evalkit.experiment.parameters import REFUSED, fault_of_value
from evalkit.experiment.problems import Faults, Path, shown

LOCAL = "local"
"""The base URL that stands for the embedded model."""
MOST_REPLICAS = 64
"""Servers that answer alike."""

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY_PREFIX = re.compile(r"(?:sk|pk|rk|hf|gsk|xai|tok|ghp)[_-][A-Za-z0-9_-]{16,}")


class Strict(BaseModel):
    """Unknown keys are faults, values are taken as what they are, and no error shows them."""

    # Pydantic's own text of an error would show the value, and that may be a key.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def whole(value: object) -> object:
    """A whole number by its value: 8.0 is 8."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def a_table(value: object) -> object:
    """An endpoint as it is written; raises ValueError, which shows no text, for a text: it may be a key."""
    if isinstance(value, str):
        raise ValueError("found a text; expected a mapping with base_url and model")
    return value


class BatchPrices(Strict):
    """What tokens cost in a batch: of a million tokens of prompts, and of answers."""

    input: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    output: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Prices(Strict):
    """What tokens cost.

    Attributes:
        input: of a million tokens of prompts.
        output: of a million tokens of answers.
        cached_input: of a million tokens of prompts that the endpoint had read before and counts apart; left out: as `input`.
        reasoning: of a million tokens that were thought and not shown, where the endpoint counts them; left out: as `output`.
        currency: its name, as it is to be shown.
        source: where they stand, as it is to be shown.
        batch: what they cost in a batch, often half; left out: the same.
    """

    input: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    output: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    cached_input: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    reasoning: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Za-z€$£¥]{1,8}$")] = "USD"
    source: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    batch: BatchPrices | None = None

    def of_batches(self) -> Prices:
        """What holds for answers that came by a batch."""
        if self.batch is None:
            return self
        return self.model_copy(update={"input": self.batch.input, "output": self.batch.output, "cached_input": None, "reasoning": None})


class Batching(Strict):
    """How requests are sent as batches.

    Attributes:
        window: within which the endpoint promises the answers, in its own words.
        url: the address that each request of a batch names.
        max_requests, max_bytes: of one file of requests.
        poll_s: seconds between two looks at how far a batch is, where it is waited for.
    """

    window: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 _-]{1,20}$")] = "24h"
    url: Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9/_.-]{1,100}$")] = "/v1/chat/completions"
    max_requests: Annotated[int, Field(ge=1, le=50_000), BeforeValidator(whole)] = 50_000
    max_bytes: Annotated[int, Field(ge=1_000, le=200_000_000), BeforeValidator(whole)] = 200_000_000
    poll_s: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = 30.0


def _one_of_two(schema: dict[str, Any]) -> None:
    """One of the keys for addresses is needed, whichever it is."""
    schema["required"].remove("base_url")
    schema["anyOf"] = [{"required": ["base_url"]}, {"required": ["base_urls"]}]


def _or_known(schema: dict[str, Any]) -> None:
    schema["anyOf"].insert(1, {"const": "known"})


class Endpoint(Strict):
    """Where the requests go.

    Attributes:
        base_url: ``local`` for the embedded model, or a URL up to and without ``/chat/completions``; ``${NAME}`` and
            ``${NAME:-default}`` are filled in from the environment.
        base_urls: addresses of servers that answer alike, in place of `base_url`, which is then the first of them: calls go to all, each at a pace of
            its own; `concurrency`, `requests_per_minute` and `tokens_per_minute` hold for each.
        identity: what the keys of requests hold in place of the address, so that servers may move, come and go and no answer is asked for again.
        model: the model's name, as the endpoint lists it.
        api_key_env: name of the environment variable that holds the key; left out: no key is sent.
        api_key_command: instead of that, a program and its arguments, which prints the key on one line, or ``{"token": ..., "expires_at": ...}``;
            it is run without a shell when a call is sent, and again when the key expires or is refused.
        concurrency: requests in flight at once; left out: found out by how the endpoint answers.
        requests_per_minute, tokens_per_minute: never faster than that.
        max_tries: calls for one request, before it counts as failed.
        deadline_s: no further try is made for a request this long after its first.
        stream: fetch answers as event streams, which tells the time to the first token.
        timeout_s: the longest a whole call may take.
        max_tokens_field: the field that carries `max_tokens`; some models want ``max_completion_tokens``.
        replicates_per_call: ask for so many replicates in one call, by ``n``.
        headers: sent with every call; ``${NAME}`` is filled in from the environment at the last moment, and stored as written.
        extra_body: further fields of every request, sent as they are.
        strip: regular expressions whose matches are taken off a text before it is scored; the record keeps the whole text.
        verify: file of the certificates to trust instead of the system's.
        organization, project: OpenAI's headers of these names.
        prices: what tokens cost; ``known`` takes them from the table of genai-prices, where the model at this address stands in it.
            Without them costs are unknown.
        batch: how requests are sent as batches, where that is asked for.
    """

    model_config = ConfigDict(json_schema_extra=_one_of_two)

    base_url: str
    base_urls: Annotated[tuple[str, ...], Field(strict=False, min_length=1, max_length=MOST_REPLICAS)] | None = None
    identity: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    model: Annotated[str, StringConstraints(min_length=1)]
    api_key_env: Annotated[str | None, WithJsonSchema({"type": ["string", "null"], "pattern": f"^{VARIABLE_NAME.pattern}$"})] = None
    api_key_command: Annotated[tuple[Annotated[str, StringConstraints(min_length=1)], ...], Field(strict=False, min_length=1)] | None = None
    concurrency: Annotated[int, Field(ge=1, le=1024), BeforeValidator(whole)] | None = None
    requests_per_minute: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    tokens_per_minute: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_tries: Annotated[int, Field(ge=1, le=100), BeforeValidator(whole)] = 5
    deadline_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3600.0
    stream: bool = False
    timeout_s: Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)] = 600.0
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    replicates_per_call: Annotated[int, Field(ge=1, le=128), BeforeValidator(whole)] = 1
    headers: Mapping[str, str] = Field(default_factory=dict)
    extra_body: Mapping[str, Any] = Field(default_factory=dict)
    strip: Annotated[tuple[str, ...], Field(strict=False)] = ()
    verify: str | None = None
    organization: str | None = None
    project: str | None = None
    prices: Annotated[Prices | None, Field(json_schema_extra=_or_known)] = None
    batch: Batching | None = None
    _stored: bool = PrivateAttr(default=False)

    @property
    def is_stored(self) -> bool:
        """Whether this was read from a results folder, from where no command is run."""
        return self._stored

    def stored(self) -> Self:
        """The same as read from a results folder."""
        if self.api_key_command is None:
            return self
        changed = self.model_copy()
        changed._stored = True
        return changed

    @property
    def known_as(self) -> str:
        """What tells this endpoint from others wherever something is recorded of it: its identity, else its address, of several the first."""
        return self.identity or self.base_url

    @property
    def addresses(self) -> tuple[str, ...]:
        """The base URLs that calls go to."""
        return self.base_urls or (self.base_url,)

    @field_validator("headers", mode="after")
    @classmethod
    def _headers_without_secrets(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        faults: list[tuple[Path, str]] = []
        for name, text in value.items():
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
                faults.append(((name,), "this is no name of a header; expected letters, digits and '-'"))
            elif name.lower() in ("host", "content-length", "content-type", "connection", "transfer-encoding"):
                faults.append(((name,), "evalkit sets this header itself; leave it out"))
            elif any(part in name.lower() for part in ("auth", "key", "token", "secret", "cookie")) and "${" not in text:
                faults.append(((name,), "not shown here, for it may be a secret; keep it out of the file: export it and write ${NAME}"))
            elif not text.isascii() or not text.isprintable():
                faults.append(((name,), "holds characters that no header can carry"))
        if faults:
            raise Faults(faults)
        return value

    @field_validator("organization", "project", mode="after")
    @classmethod
    def _fits_a_header(cls, value: str | None) -> str | None:
        if value is not None and not (value.isascii() and value.isprintable() and value.strip() == value and value):
            raise ValueError(f"found {shown(value)}; expected a name that a header can carry: ASCII, no spaces around it")
        return value

    @field_validator("strip", mode="after")
    @classmethod
    def _regular(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        import regex

        faults: list[tuple[Path, str]] = []
        for index, pattern in enumerate(value):
            try:
                regex.compile(pattern)
            except regex.error as fault:
                faults.append(((index,), f"found {shown(pattern)}; not a regular expression: {fault}"))
        if faults:
            raise Faults(faults)
        return value

    @field_validator("extra_body", mode="after")
    @classmethod
    def _extra(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        faults: list[tuple[Path, str]] = []
        for name, given in value.items():
            fault = REFUSED.get(name) or ("the model stands under endpoint.model" if name == "model" else None)
            fault = fault or (fault_of_value("", given) if given is not None else None)
            if fault:
                faults.append(((name,), fault))
        if faults:
            raise Faults(faults)
        return value

    @field_validator("prices", mode="before")
    @classmethod
    def _by_the_table(cls, value: object, info: ValidationInfo) -> object:
        if value != "known" or not {"base_url", "model"} <= info.data.keys():
            return None if value == "known" else value
        found, table = known(info.data["base_url"], info.data["model"])
        return Prices(input=found["input"], output=found["output"], cached_input=found.get("cached_input"), source=table)

    @field_validator("base_url", "model", mode="before")
    @classmethod
    def _from_environment(cls, value: object) -> object:
        return expand(value) if isinstance(value, str) else value

    @field_validator("base_urls", mode="before")
    @classmethod
    def _each_from_environment(cls, value: object) -> object:
        return [expand(one) if isinstance(one, str) else one for one in value] if isinstance(value, list | tuple) else value

    @field_validator("base_urls", mode="after")
    @classmethod
    def _usable_urls(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is None:
            return None
        faults: list[tuple[Path, str]] = []
        usable: list[str] = []
        for at, one in enumerate(value):
            try:
                url = cls._usable_url(one)
            except ValueError as fault:
                faults.append(((at,), str(fault)))
                continue
            if url == LOCAL:
                faults.append(((at,), "'local' is one server and stands alone; expected URLs like https://host/v1"))
            elif url in usable:
                faults.append(((at,), f"is the same as base_urls[{usable.index(url)}]; take one out"))
            usable.append(url)
        if faults:
            raise Faults(faults)
        return tuple(usable)

    @field_validator("identity", mode="after")
    @classmethod
    def _telling(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if value == LOCAL:
            raise ValueError("'local' stands for the embedded model; expected another name, like the address that the first server had")
        if not value.isprintable() or value != value.strip() or "@" in value or "?" in value or _KEY_PREFIX.search(value):
            raise ValueError("expected a name or an address without spaces around it, control characters, '@' and '?', and no key; not shown here")
        return value

    @field_validator("base_url", mode="after")
    @classmethod
    def _usable_url(cls, value: str) -> str:
        if value == LOCAL:
            return value
        # Never shows the value: a URL can hold a password or a key.
        try:
            parts = urlsplit(value)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise ValueError("this is not a URL; expected 'local' or one like https://host/v1") from None
        if "${" in value:
            raise ValueError("the URL holds a '${' that is not filled in; expected ${NAME} or ${NAME:-default}, once")
        if "@" in parts.netloc:
            raise ValueError("the URL holds a user name or password; put the key into an environment variable and name it in api_key_env")
        if parts.scheme not in ("http", "https") or not host or " " in value or not value.isprintable():
            raise ValueError("this is not an http URL; expected 'local' or one like https://host/v1")
        if parts.fragment or (parts.query and not _is_version(parts.query)):
            raise ValueError("the URL has a '?' or '#' part; expected one that ends with its path, like https://host/v1, or with ?api-version=")
        path = parts.path.rstrip("/")
        if path.endswith("/chat/completions"):
            raise ValueError("the URL ends in /chat/completions; leave that part out, evalkit adds it")
        return f"{parts.scheme}://{parts.netloc.lower()}{path}{'?' + parts.query if parts.query else ''}"

    @field_validator("model", mode="before")
    @classmethod
    def _one_model(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            names = ", ".join(map(str, value)) if value and all(isinstance(one, str) and one.isprintable() for one in value) else "a, b"
            several = f"parameters: {{model: [{names if len(names) <= 60 else 'a, b'}]}}"
            raise ValueError(f"found {shown(value)}; name one model here, and to compare several put models under {several}")
        return value

    @field_validator("model", mode="after")
    @classmethod
    def _filled_in(cls, value: str) -> str:
        if "${" in value:
            raise ValueError("the name holds a '${' that is not filled in; expected ${NAME} or ${NAME:-default}, once")
        if not value.isprintable() or value != value.strip():
            raise ValueError(f"found {shown(value)}; expected a name without spaces around it, line breaks and control characters")
        return value

    @field_validator("api_key_env", mode="before")
    @classmethod
    def _a_name(cls, value: object) -> object:
        # Never shows the value: what stands here by mistake is the key itself.
        if value is not None and (not isinstance(value, str) or not VARIABLE_NAME.fullmatch(value) or _looks_like_key(value)):
            raise ValueError(
                "this is not the name of an environment variable, and not shown here, for it may be the key itself; "
                "keep keys out of files: export the key as, say, PARADIGM_API_KEY and write api_key_env: PARADIGM_API_KEY"
            )
        return value

    @field_validator("api_key_command", mode="before")
    @classmethod
    def _arguments(cls, value: object) -> object:
        # Never shows the value either.
        if value is None:
            return None
        sound = isinstance(value, list | tuple) and all(isinstance(one, str) and one and "\0" not in one for one in value)
        if not sound or not value:
            raise ValueError(
                "this is not a list of a program and its arguments, all of them texts; no shell reads it: "
                "write it like [gcloud, auth, print-access-token]"
            )
        if isinstance(value, list | tuple) and any(_KEY_PREFIX.search(one) for one in value):
            raise ValueError("one of these looks like a key, and is not shown here; keep keys out of files: let the command read it from elsewhere")
        return value

    @model_validator(mode="before")
    @classmethod
    def _first_of_several(cls, data: object) -> object:
        """`base_url` is the first of `base_urls`, where it does not stand there by itself."""
        if isinstance(data, Mapping) and "base_url" not in data:
            several = data.get("base_urls")
            if isinstance(several, list | tuple) and several and isinstance(several[0], str):
                return {"base_url": several[0], **data}
        return data

    @model_validator(mode="after")
    def _one_address(self) -> Endpoint:
        if self.base_urls is not None and self.base_url != self.base_urls[0]:
            raise Faults([(("base_urls",), "stands beside base_url, which is not the first of them; keep one of the two keys")])
        if self.identity is not None and self.base_url == LOCAL:
            raise Faults([(("identity",), "stands beside base_url: local, whose answers are the same wherever it runs; leave it out")])
        return self

    @model_validator(mode="after")
    def _one_key(self) -> Endpoint:
        if self.api_key_env is not None and self.api_key_command is not None:
            raise Faults([(("api_key_command",), "stands beside api_key_env; keep one of the two")])
        return self


def _is_version(query: str) -> bool:
    """Whether the query of a URL is Azure's version of the API and nothing else, so that no key is in it."""
    given = parse_qsl(query, keep_blank_values=True)
    return len(given) == 1 and given[0][0] == "api-version" and re.fullmatch(r"[A-Za-z0-9.-]{1,40}", given[0][1]) is not None


def _looks_like_key(name: str) -> bool:
    if name in os.environ:
        return False
    if _KEY_PREFIX.fullmatch(name):
        return True
    return any(len(part) >= 12 and sum(map(str.isdigit, part)) >= 3 for part in name.split("_"))


def as_sent(fields: Mapping[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    """Fields of a request in the form that this endpoint wants them."""
    body = {endpoint.max_tokens_field if name == "max_tokens" else name: value for name, value in fields.items()}
    if endpoint.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def expand(text: str) -> str:
    """`text` with ``${NAME}`` and ``${NAME:-default}`` filled in from the environment; raises ValueError where a name is not set."""

    def value(match: re.Match[str]) -> str:
        name, dash, default = match[1].partition(":-")
        if not VARIABLE_NAME.fullmatch(name):
            raise ValueError("a ${...} holds no variable's name; expected ${NAME} or ${NAME:-default}")
        found = os.environ.get(name, "")
        if found or dash:
            return found or default
        raise ValueError(f"the environment variable {name} is not set; set it, or write ${{{name}:-a default}}")

    return _REFERENCE.sub(value, text)

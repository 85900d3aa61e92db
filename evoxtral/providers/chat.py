"""One client for every server that speaks OpenAI's chat protocol, OpenAI's own or vLLM's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from evoxtral.providers.access import check_url, redact, require
from evoxtral.providers.retry import Patience, ProviderError, patiently, refusal

BASE_URL = "https://api.openai.com/v1"

Message = Mapping[str, str]
"""`{"role": "system" | "user" | "assistant", "content": text}`."""


class ChatSettings(BaseModel):
    """What decides a reply, apart from the messages.

    Servers disagree on two points: reasoning models refuse a temperature (None sends none), and
    the limit of a reply is called `max_completion_tokens` by OpenAI, `max_tokens` by others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str = Field(min_length=1)
    temperature: float | None = Field(1.0, ge=0, le=2)
    max_output_tokens: int = Field(2000, ge=16)
    limit_name: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"


class Reply(BaseModel):
    """What came back; `content` is whatever the model wrote, not yet judged."""

    model_config = ConfigDict(frozen=True)

    content: str
    finish: str | None = None
    prompt_tokens: int = Field(0, ge=0)
    completion_tokens: int = Field(0, ge=0)


class _Text(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Text
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int = Field(0, ge=0)
    completion_tokens: int = Field(0, ge=0)


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


class Chat:
    """A client; several threads may ask at once."""

    def __init__(
        self,
        key: SecretStr,
        settings: ChatSettings,
        patience: Patience | None = None,
        base_url: str = BASE_URL,
    ) -> None:
        """Make a client; nothing is sent yet.

        Raises:
            UserError: The package is not installed, or the URL must not get a key.
        """
        self._key = key
        self._settings = settings
        self._patience = patience or Patience()
        self._sdk = require("openai")
        self._client = self._sdk.OpenAI(
            api_key=key.get_secret_value(),
            base_url=check_url(base_url),
            timeout=self._patience.timeout_seconds,
            max_retries=0,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, messages: Sequence[Message], name: str, schema: Mapping[str, Any]) -> Reply:
        """Ask for a reply that follows a JSON schema.

        Args:
            messages: The conversation so far.
            name: Of the schema, a word.
            schema: See `strict_schema`; a server may ignore it, so judge what comes back.

        Raises:
            ProviderError: No reply came; nothing was billed unless it says so.
        """
        return patiently(lambda: self._once(messages, name, schema), self._patience)

    def _once(self, messages: Sequence[Message], name: str, schema: Mapping[str, Any]) -> Reply:
        sdk, settings = self._sdk, self._settings
        options: dict[str, Any] = {settings.limit_name: settings.max_output_tokens}
        if settings.temperature is not None:
            options["temperature"] = settings.temperature
        try:
            raw = self._client.chat.completions.with_raw_response.create(
                model=settings.model,
                messages=list(messages),
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": name, "strict": True, "schema": dict(schema)},
                },
                **options,
            )
            return _read(redact(raw.text, self._key))
        except sdk.APIStatusError as error:
            body = redact(error.response.text, self._key)
            raise refusal(error.status_code, body, error.response.headers) from None
        except sdk.APITimeoutError:
            raise ProviderError("the reply timed out", perhaps_billed=True) from None
        except sdk.APIConnectionError as error:
            cause = error.__cause__ or error
            reached = type(cause).__name__ != "ConnectError"
            what = "the reply broke off" if reached else "no connection"
            reason = redact(f"{what} ({cause})", self._key)
            raise ProviderError(reason, repeat=not reached, perhaps_billed=reached) from None


def _read(body: str) -> Reply:
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError as error:
        reason = f"the reply is no chat completion: {body[:100]!r}"
        raise ProviderError(reason, perhaps_billed=True) from error
    choice, usage = completion.choices[0], completion.usage or _Usage()
    finish = "refusal" if choice.message.refusal else choice.finish_reason
    return Reply(
        content=choice.message.content or "",
        finish=finish,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
    )


def strict_schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON schema of a pydantic model in the subset that every provider enforces.

    Titles, descriptions and bounds are left out, since some servers refuse them in strict mode;
    bounds are checked when the reply is read. The model must forbid extra fields and require all
    of its own.
    """
    return _bare(model.model_json_schema())


def _bare(node: Any) -> Any:
    if isinstance(node, list):
        return [_bare(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = ("$defs", "$ref", "additionalProperties", "items", "required", "type")
    bare = {name: _bare(node[name]) for name in kept if name in node}
    for names in ("properties", "$defs"):
        if names in node:
            bare[names] = {name: _bare(value) for name, value in node[names].items()}
    return bare

"""What providers need from outside: optional packages, keys and addresses.

The only place that imports the packages of the extra `providers`, and only when a client is made:
estimates, caches and replays work without them, without a key and without a network.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from urllib.parse import urlsplit

from pydantic import SecretStr

from evoxtral import UserError

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def require(module: str) -> ModuleType:
    """Import a module of the extra `providers`.

    Raises:
        UserError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"the package {module!r} is missing: pip install evoxtral[providers]"
        ) from error


def read_key(variable: str) -> SecretStr:
    """The key in an environment variable; keys come from nowhere else.

    Raises:
        UserError: It is not set, or holds what cannot be a key.
    """
    value = os.environ.get(variable, "").strip()
    if not value:
        raise UserError(
            f"the environment variable {variable} is not set: export {variable}=<your key>, or any "
            "word for a server of your own that asks for none"
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise UserError(f"the environment variable {variable} holds no key: copy it again")
    return SecretStr(value)


def check_url(url: str) -> str:
    """A base URL that a key may be sent to.

    Raises:
        UserError: It is no URL, names a user, or would send the key unencrypted to another host.

    >>> check_url("https://api.openai.com/v1")
    'https://api.openai.com/v1'
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise UserError("the base URL must look like https://host/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UserError("the base URL must hold no user, key or query: keys come from environment")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise UserError(f"the key would travel unencrypted to {host}: use https")
    return url


def redact(text: str, key: SecretStr) -> str:
    """Text of a server without the key, which some servers echo in their error messages.

    >>> redact("Incorrect API key: sk-1", SecretStr("sk-1"))
    'Incorrect API key: ***'
    """
    return text.replace(key.get_secret_value(), "***")

"""Redaction of secrets: passwords, tokens and signatures in texts that are printed, logged or kept.

A secret is recognised by its place: the password of an address, a parameter of a signed address, a setting with a name such
as ``password`` or ``token``, a header ``Authorization``. The secrets of a recipe are recognised everywhere (:func:`learn`). A
value that the recipe inserts with ``${VAR}`` is shown as ``${VAR}``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "***"
"""Text that replaces a secret, if it is not the value of an environment variable."""
SHORTEST = 5
"""Minimum number of characters of a secret that is recognised everywhere: a shorter one could be a word of any text."""
NAMES = r"[\w.-]{0,40}(?:passw(?:or)?d|pwd|passphrase|secret|token|credentials?|api[_-]?key|access[_-]?key(?:[_-]?id)?)"
"""Names of settings with secret values."""
PARAMETERS = (
    rf"{NAMES}|[\w.-]{{0,40}}signature|pass|sig|sas|jwt|auth|key|policy|[\w-]{{1,40}}-key|key-pair-id|googleaccessid"
)
"""Names of secret parameters of an address (signatures of AWS, Azure, Google and CloudFront, keys of APIs and databases)."""


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


VARIABLES = _pattern(r"(?:\$\{\w+\})+")
SCHEME = r"(?<![a-z0-9+.-])[a-z0-9+.-]{1,30}://"
QUOTED = _pattern(rf"(?<=\")[^\"\s]*?{SCHEME}[^\"\n]*(?=\")|(?<=')[^'\s]*?{SCHEME}[^'\n]*(?=')")
"""Address in quotation marks; it can contain blanks."""
BARE = _pattern(rf"{SCHEME}[^\s\"'<>]+")
PASSWORDS = (
    _pattern(r"(?P<start>(?:postgres|mysql|mssql|oracle)[a-z0-9+]{0,20}://[^:/?#@]*:)(?P<value>.*)(?=@)"),
    _pattern(rf"(?P<start>{SCHEME}[^:/?#@\[]*:)(?!\d+(?:[/?#]|$))(?P<value>[^/?#]*(?=@)|.*(?=@))"),
    _pattern(r"(?P<start>https?://)(?P<value>[^:/?#@]+)(?=@)"),
)
"""Password of an address: of a database, of any address, and a token in place of a user name."""
START = rf"(?P<start>(?:[?&;]|%3F|%26)(?:{PARAMETERS})(?:=|%3D))"
PARAMETER = _pattern(rf"{START}(?P<value>(?:(?!%26)[^&#])+)")
ELSEWHERE = (
    _pattern(rf"{START}(?P<value>(?:(?!%26)[^\s&#\"'<>])+?)(?=[).,:;]*(?:[\s&#\"'<>]|%26|$))"),
    _pattern(rf"(?P<start>(?<![\w?&;%.-])(?:{NAMES})\s*=\s*\")(?P<value>[^\"\n]*)"),
    _pattern(rf"(?P<start>(?<![\w?&;%.-])(?:{NAMES})\s*=\s*')(?P<value>[^'\n]*)"),
    _pattern(rf"(?P<start>(?<![\w?&;%.-])(?:{NAMES})\s*=\s*)(?P<value>[^\s\"',;)}}\]]+)"),
    _pattern(rf"(?P<start>[\"'](?:{NAMES})[\"']\s*:\s*[\"'])(?P<value>[^\"'\n]*)"),
    _pattern(r"(?P<start>\bauthorization[\"']?\s*[:=]\s*[\"']?(?:(?:basic|bearer)\s+)?)(?P<value>[^\s\"',]+)"),
    _pattern(r"(?P<start>\bbearer\s+)(?P<value>[^\s\"',]{12,})"),
)
"""Secrets outside of an address: parameters, settings (``name = value``, ``"name": "value"``), headers."""

_KNOWN: dict[str, str] = {}
"""Secrets of the recipes that this process has read → the text that replaces each."""


def redacted(text: str) -> str:
    """Return a text of any kind without its secrets.

    >>> redacted("PostgreSQL://me:word@host/base does not respond. https://host/B04.tif?sig=ab%2Fc&size=3 is missing.")
    'PostgreSQL://me:***@host/base does not respond. https://host/B04.tif?sig=***&size=3 is missing.'
    """
    for secret in sorted(_KNOWN, key=len, reverse=True):
        if secret in text:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", _KNOWN[secret].replace("\\", r"\\"), text)
    text = QUOTED.sub(lambda match: redacted_address(match[0]), text)
    text = BARE.sub(lambda match: _without(match[0], PASSWORDS), text)
    return _without(text, ELSEWHERE)


def redacted_address(text: str) -> str:
    """Return an address without its secrets; passwords can contain blanks, ``@`` and ``/``.

    >>> redacted_address("postgresql://me:my p@ss/word@host/base?sslpassword=other word")
    'postgresql://me:***@host/base?sslpassword=***'
    """
    return _without(text, (*PASSWORDS, PARAMETER, *ELSEWHERE))


def learn(name: str, written: str, variables: Mapping[str, str]) -> None:
    """Remember the secrets of a setting of a recipe, so that :func:`redacted` recognises them everywhere.

    Parameters
    ----------
    name
        Name of the setting.
    written
        Its text in the recipe, with ``${VAR}``.
    variables
        Environment variable → value.
    """
    read = re.sub(r"\$\{(\w+)\}", lambda match: variables.get(match[1], match[0]), written)
    secrets = set(_found(read))
    if re.fullmatch(NAMES, name, re.IGNORECASE):
        secrets.add(read)
    for variable in re.findall(r"\$\{(\w+)\}", written):
        value = variables.get(variable, "")
        if re.fullmatch(PARAMETERS, variable, re.IGNORECASE) or any(
            one in value or value in one for one in secrets if value
        ):
            _remember(value, "${" + variable + "}")
    for secret in secrets:
        _remember(secret, HIDDEN)


def _found(address: str) -> Iterator[str]:
    if re.search(SCHEME, address, re.IGNORECASE):
        for pattern in (*PASSWORDS, PARAMETER):
            yield from (match["value"] for match in pattern.finditer(address))


def _remember(secret: str, shown: str) -> None:
    for form in {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), unquote(secret)}:
        if len(form) >= SHORTEST and not VARIABLES.fullmatch(form):
            _KNOWN.setdefault(form, shown)


def _without(text: str, patterns: Iterable[re.Pattern[str]]) -> str:
    for pattern in patterns:
        text = pattern.sub(_hidden, text)
    return text


def _hidden(match: re.Match[str]) -> str:
    kept = VARIABLES.fullmatch(match["value"])
    return match[0] if kept else match["start"] + HIDDEN

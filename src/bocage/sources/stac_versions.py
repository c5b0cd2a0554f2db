"""Which version of an asset a server holds: by the checksum in its item, or by the headers of the server.

A catalogue may keep the time ``updated`` of an item whose file was replaced. A file in the cache is therefore one version of
an asset.
"""

import contextlib
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bocage.disk import digest

CHECKSUMS = ("file:checksum", "checksum:multihash")
"""Fields of an asset with a digest of its content."""
PATIENCE = 20
"""Seconds until a server counts as unreachable."""


class Versions:
    """The versions of the assets of one search. A server that did not answer once is not asked again."""

    def __init__(self, ask: bool) -> None:
        import requests

        self._session, self._ask, self._away = requests.Session(), ask, set[str]()

    def of(self, item: Any, asset: str, address: str) -> str | None:
        """Return a text that differs between versions; empty if nothing states the version, None if the server is away."""
        fields = item.assets[asset].extra_fields
        stated = next((str(fields[name]) for name in CHECKSUMS if fields.get(name)), "")
        if stated:
            return stated
        size = str(fields.get("file:size") or "")
        plain = re.sub(r"(?i)^/vsicurl/", "", address)
        if not self._ask or not plain.lower().startswith(("http://", "https://")):
            return size
        headers = self._headers(plain)
        return None if headers is None else size + headers

    def _headers(self, address: str) -> str | None:
        """Return what the server states about the version of a file; None if it does not answer."""
        import requests

        host = urlsplit(address).netloc
        if host in self._away:
            return None
        try:
            answer = self._session.head(address, timeout=PATIENCE, allow_redirects=True)
        except requests.RequestException:
            self._away.add(host)
            return None
        if answer.status_code != 200 or answer.headers.get("Content-Type", "").startswith("text/html"):
            return ""  # a page that asks for a login is no version of the file
        tag = answer.headers.get("ETag", "").removeprefix("W/")
        return tag or " ".join(filter(None, map(answer.headers.get, ("Last-Modified", "Content-Length"))))


def version_in_cache(folder: Path, stem: str, version: str | None) -> Path:
    """Return the path of a version of an asset in the cache; if the version is not known, the newest that is there."""
    if version is None:
        with contextlib.suppress(FileNotFoundError):
            kept = [
                path for path in folder.iterdir() if re.fullmatch(re.escape(stem) + r"(-[0-9a-f]+)?\.tif", path.name)
            ]
            if kept:
                return max(kept, key=lambda path: path.stat().st_mtime_ns)
    return folder / (f"{stem}-{digest(version)[:12]}.tif" if version else f"{stem}.tif")

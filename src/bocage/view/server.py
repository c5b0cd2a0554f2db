"""Server of the page: this machine only, a token in every address, no path of a request reaches the disk."""

import hmac
import secrets
import socket
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from rio_tiler.errors import NoOverviewWarning

from bocage.errors import BocageError, ViewError
from bocage.redaction import redacted
from bocage.view.answers import Answer, Answers, RefusedError, as_json
from bocage.view.viewed import Viewed

HOST = "127.0.0.1"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy: the page loads nothing from elsewhere, and no script that is written in it."""
IDLE = 60
"""Seconds after which an idle connection is closed."""
POLL = 0.05
"""Seconds between two looks at whether the server is to stop."""
STATIC = {"app.js": "text/javascript; charset=utf-8", "app.css": "text/css; charset=utf-8"}
"""Files of the built page, with their types."""
BUILD = "The page is not built: run 'make viewer' in the repository (it needs Node), or install the wheel of Bocage."


@dataclass
class Viewer:
    """A server of one or two runs."""

    runs: tuple[Viewed, ...]
    port: int = 0
    """Port; 0: a free one."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def __post_init__(self) -> None:
        self.static = static_files()
        self.answers = Answers(self.runs)
        try:
            self.server = _Server((HOST, self.port), _Handler)
        except OSError as error:
            raise ViewError(
                f"The port {self.port} cannot be used: {error.strerror}. Choose another --port, or leave it out for a free one."
            ) from error
        self.server.viewer = self

    @property
    def address(self) -> str:
        """Address of the page, with its token."""
        return f"http://{HOST}:{self.server.server_port}/{self.token}/"

    @property
    def hosts(self) -> frozenset[str]:
        """Values of the header Host that are answered: another name would be that of a page elsewhere (DNS rebinding)."""
        return frozenset(f"{name}:{self.server.server_port}" for name in (HOST, "localhost"))

    def start(self) -> None:
        """Answer requests in threads; return at once. The scenes are opened meanwhile."""
        # Scenes often have no overviews. The filter is that of the process: those of a block are not safe with threads.
        warnings.filterwarnings("ignore", category=NoOverviewWarning)
        threading.Thread(target=self.server.serve_forever, args=(POLL,), daemon=True).start()
        for run in self.runs:
            threading.Thread(target=lambda run=run: run.pictures, daemon=True).start()

    def stop(self) -> None:
        """Stop answering, and free the port."""
        self.server.shutdown()
        self.server.server_close()


def static_files() -> Mapping[str, bytes]:
    """Return the files of the built page.

    Raises
    ------
    ViewError
        The page is not built.
    """
    folder = resources.files("bocage.view").joinpath("static")
    if not all(folder.joinpath(name).is_file() for name in STATIC):
        raise ViewError(BUILD)
    return {name: folder.joinpath(name).read_bytes() for name in STATIC}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = False
    viewer: Viewer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that the browser closes."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; every other method is refused by the base class."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "bocage", ""
    timeout = IDLE
    server: _Server

    def setup(self) -> None:
        """Send small answers at once."""
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)

    def do_GET(self) -> None:
        """Answer with a body."""
        self._send(self._answered(), with_body=True)

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._send(self._answered(), with_body=False)

    def log_message(self, *_: Any) -> None:
        """Keep the token out of logs."""

    def _answered(self) -> Answer:
        viewer = self.server.viewer
        if self.headers.get("Host", "") not in viewer.hosts:
            return _refusal(403, "the address is not that of this server")
        split = urlsplit(self.path)
        parts = split.path.split("/")[1:]
        if not hmac.compare_digest(parts[0].encode("utf-8", "replace"), viewer.token.encode()):
            return _refusal(403, "the token is missing or wrong")
        query = {key: values[-1] for key, values in parse_qs(split.query, keep_blank_values=True).items()}
        return _tried(lambda: self._routed(tuple(map(unquote, parts[1:])), query))

    def _routed(self, parts: tuple[str, ...], query: Mapping[str, str]) -> Answer:
        viewer = self.server.viewer
        if len(parts) == 2 and parts[0] == "static" and parts[1] in viewer.static:
            return Answer(viewer.static[parts[1]], STATIC[parts[1]])
        return viewer.answers.to(parts, query)

    def _send(self, answer: Answer, with_body: bool) -> None:
        self.send_response(answer.status)
        for name, value in {
            "Content-Type": answer.kind, "Content-Length": str(len(answer.body)),
            "Cache-Control": "private, max-age=3600" if answer.keeps else "no-store",
            "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
        }.items():  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)


def _tried(work: Callable[[], Answer]) -> Answer:
    """Return an answer, or what prevented it as a sentence."""
    try:
        return work()
    except RefusedError as error:
        return _refusal(error.status, str(error))
    except BocageError as error:
        return _refusal(404, str(error))
    except Exception as error:  # a defect of Bocage: the page shows it, and the server goes on
        return _refusal(500, redacted(f"{type(error).__name__}: {error}"))


def _refusal(status: int, why: str) -> Answer:
    return as_json({"error": why}, status)

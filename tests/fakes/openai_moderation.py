"""A server on loopback that speaks OpenAI's moderation endpoint, and minds what it is asked."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test"

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)

JPEG = b"\xff\xd8\xff"


class ModerationServer:
    """What it has been asked, and how it answers."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}
        """A word that is flagged -> its category."""
        self.pictures: deque[str | None] = deque()
        """Categories of the next pictures; after the last of them, none."""
        self.every_picture: str | None = None
        self.troubles: deque[tuple[int, dict[str, str], bytes]] = deque()
        """Status, headers and body that the next requests get instead of an answer."""
        self.texts: list[str] = []
        self.seen = 0
        """Pictures looked at."""
        self.requests = 0
        self.problems: list[str] = []
        """What is wrong with requests that no honest client makes."""
        self.gate: threading.Event | None = None
        self.url = ""

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Judge like the endpoint."""
        if body.keys() != {"model", "input"} or body["model"] != "omni-moderation-latest":
            self.problems.append(f"members: {sorted(body)}")
        given = body["input"]
        if all(isinstance(each, str) and each for each in given) and given:
            self.texts += given
            return 200, _report([self._of_text(each) for each in given])
        if len(given) > 1:
            message = f"Number of images ({len(given)}) exceeds maximum of 1"
            return 400, {"error": {"message": message, "code": "too_many_images"}}
        [part] = given
        head, _, data = part["image_url"]["url"].partition(",")
        if part["type"] != "image_url" or head != "data:image/jpeg;base64":
            self.problems.append(f"picture: {part['type']} {head[:40]}")
        elif not base64.b64decode(data, validate=True).startswith(JPEG):
            self.problems.append("picture: not a JPEG file")
        self.seen += 1
        return 200, _report([self.pictures.popleft() if self.pictures else self.every_picture])

    def _of_text(self, text: str) -> str | None:
        return next((name for word, name in self.words.items() if word in text), None)


def _report(flagged: list[str | None]) -> dict[str, Any]:
    return {
        "id": "modr-1",
        "model": "omni-moderation-latest",
        "results": [
            {
                "flagged": each is not None,
                "categories": {name: name == each for name in {*CATEGORIES, each} - {None}},
                "category_scores": {name: 0.9 * (name == each) for name in CATEGORIES},
                "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
            }
            for each in flagged
        ],
    }


@contextlib.contextmanager
def moderation_server() -> Iterator[ModerationServer]:
    """Serve inside the block; at its end no request may have been a bad one."""
    seen = ModerationServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.requests += 1
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != "/v1/moderations":
                seen.problems.append(f"path: {self.path}")
            if self.headers["Authorization"] != f"Bearer {KEY}":
                seen.problems.append("key")
            if seen.gate is not None:
                seen.gate.wait(180)
            if seen.troubles:
                self.reply(*seen.troubles.popleft())
                return
            status, answer = seen.answer(json.loads(body))
            self.reply(status, {}, json.dumps(answer).encode())

        def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            with contextlib.suppress(ConnectionError):  # the client may have given up
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        seen.url = f"http://127.0.0.1:{server.server_port}/v1"
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield seen
        finally:
            if seen.gate is not None:
                seen.gate.set()
            server.shutdown()
            serving.join()
    assert seen.problems == []

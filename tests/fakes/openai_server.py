"""A server on loopback that speaks as much of OpenAI's protocol as the assistant uses.

It judges every request before it plays its part: what is not as the documentation has it is
answered with 400 and remembered in `complaints`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jsonschema

KEY = "sk-test"
MODEL = "gpt-test"
PNG = b"\x89PNG\r\n\x1a\n"

_TEXT = {"type": "string", "minLength": 1}
_PARTS = {
    "type": "array",
    "minItems": 2,
    "items": {
        "oneOf": [
            {
                "properties": {"type": {"const": "text"}, "text": _TEXT},
                "required": ["type", "text"],
                "additionalProperties": False,
            },
            {
                "properties": {
                    "type": {"const": "image_url"},
                    "image_url": {
                        "type": "object",
                        "properties": {"url": _TEXT, "detail": {"enum": ["auto", "low", "high"]}},
                        "required": ["url"],
                        "additionalProperties": False,
                    },
                },
                "required": ["type", "image_url"],
                "additionalProperties": False,
            },
        ]
    },
}
_REQUEST = {
    "type": "object",
    "additionalProperties": False,
    "required": ["model", "messages", "response_format"],
    "properties": {
        "model": {"const": MODEL},
        "messages": {
            "type": "array",
            "prefixItems": [
                {"properties": {"role": {"const": "system"}, "content": _TEXT}},
                {"properties": {"role": {"const": "user"}, "content": {"anyOf": [_TEXT, _PARTS]}}},
            ],
            "minItems": 2,
            "maxItems": 2,
            "items": {"required": ["role", "content"]},
        },
        "stream": {"const": False},
        "response_format": {
            "type": "object",
            "required": ["type", "json_schema"],
            "properties": {
                "type": {"const": "json_schema"},
                "json_schema": {
                    "type": "object",
                    "required": ["name", "schema", "strict"],
                    "properties": {"strict": {"const": True}, "name": _TEXT},
                },
            },
        },
    },
}


@dataclass(frozen=True, kw_only=True)
class Reply:
    """How one request is answered."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    until: threading.Event | None = None
    """Answered only once this is set."""
    endless: bool = False
    """The body is said again and again, until whoever asked hangs up."""


def said(content: str | None, **message: Any) -> Reply:
    """An answer of the model."""
    choice = {
        "index": 0,
        "finish_reason": message.pop("finish_reason", "stop"),
        "message": {"role": "assistant", "content": content, "refusal": None, **message},
    }
    return Reply(
        body={
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": MODEL,
            "choices": [choice],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
    )


def prompt(text: str) -> Reply:
    """The form, filled in."""
    return said(json.dumps({"prompt": text}))


def failure(status: int, code: str, **headers: str) -> Reply:
    """An error as OpenAI words it."""
    body = {"error": {"message": code, "type": code, "code": code, "param": None}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, body=body, headers=named)


class OpenAIServer:
    """Remembers what it was asked; `replies` are played in turn, the last one from then on."""

    def __init__(self, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.replies: list[Reply] = [prompt("A refined prompt.")]
        self.requests: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self.bytes_said = 0
        """Of endless answers."""

    def texts(self) -> list[str]:
        """Return what each request asked about."""
        contents = [request["messages"][1]["content"] for request in self.requests]
        return [text if isinstance(text, str) else text[0]["text"] for text in contents]

    def answer(self, path: str, headers: Any, body: bytes) -> Reply:
        """Judge a request and return what to say."""
        request = json.loads(body)
        self.requests.append(request)
        complaint = _complaint(path, headers, request)
        if complaint is not None:
            self.complaints.append(complaint)
            return failure(400, "invalid_request_error")
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


def _complaint(path: str, headers: Any, request: dict[str, Any]) -> str | None:
    if path != "/v1/chat/completions":
        return f"no such path: {path}"
    if headers["Authorization"] != f"Bearer {KEY}":
        return "not authorised"
    if headers["Content-Type"] != "application/json":
        return "not JSON"
    try:
        jsonschema.validate(request, _REQUEST)
        _check_strict(request["response_format"]["json_schema"]["schema"])
        for part in request["messages"][1]["content"]:
            if isinstance(part, dict) and part["type"] == "image_url":
                kind, data = part["image_url"]["url"].split(",", 1)
                assert kind == "data:image/png;base64"
                assert base64.b64decode(data, validate=True).startswith(PNG)
    except (jsonschema.ValidationError, AssertionError, ValueError) as error:
        return str(error)
    return None


def _check_strict(schema: dict[str, Any]) -> None:
    """Hold a schema to what `strict` demands: every property required, and no other allowed."""
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert sorted(schema["required"]) == sorted(schema["properties"])


@contextlib.contextmanager
def serving() -> Iterator[OpenAIServer]:
    """Answer inside the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            reply = server.answer(self.path, self.headers, body)
            if reply.until is not None:
                reply.until.wait(180)
            data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            with contextlib.suppress(OSError):  # whoever asked may have given up
                self.send_response(reply.status)
                headers = {"Content-Type": "application/json", **reply.headers}
                if not reply.endless:
                    headers["Content-Length"] = str(len(data))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
                while reply.endless:
                    self.wfile.write(data)
                    server.bytes_said += len(data)

        def log_message(self, *_: object) -> None:
            """Say nothing on stderr."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = OpenAIServer(listener.server_address[1])
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()

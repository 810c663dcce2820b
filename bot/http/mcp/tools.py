"""The tools of MCP: their JSON schemas, made from the option schema, and their handlers.

Answers have the shape of MCP's `CallToolResult`. Nothing here needs the SDK, so that the control
socket serves the tools as well; see `bot.http.mcp.server`.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import structlog
from pydantic import BaseModel, ConfigDict, Field

from bot.http.api_command_names import MCP
from bot.http.error_responses import error_json, retry_seconds
from bot.http.openapi import options_schema, picture_schemas
from bot.http.shutdown import Shutdown
from bot.http.validation_errors import NO_SWITCH
from bot.http.videos import actions
from bot.http.videos.content import STILL, TYPES, Content, Variant
from bot.http.videos.events import changes
from bot.http.videos.option_values import WITHIN, check_arguments, options
from bot.http.videos.requests import CreateRequest, Prompt, Seconds, parse_request, picture_names
from bot.http.videos.video_json import notes, video_json
from bot.platform import Services
from commands.context import Call
from commands.handlers import job_status
from commands.options import IMAGE, MODEL
from commands.parsing.suggestions import closest
from commands.parsing.values import shorten
from commands.results import Accepted
from commands.run import perform
from commands.text.card import Card, plain
from commands.text.messages import text
from inference.bug_report import log_bug
from inference.domain.errors import EngineError, NotFound, RushesError, UserError
from inference.domain.job import Job

WAIT_SECONDS = 60
LONGEST_WAIT_SECONDS = 600

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of a tool, with what depends on its transport."""

    call: Call
    turn: Callable[[Mapping[str, str]], AbstractAsyncContextManager[Mapping[str, str]]]
    """Block in which a job may be made. It has the pictures among the arguments, and yields what a
    spec names them by."""
    link: Callable[[Job, Path], Awaitable[str]]
    """Returns the address of a finished file."""
    report: Callable[[float, str], Awaitable[None]]
    """Tells of progress: percent, and one line."""


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


class JobArguments(_Arguments):
    """Arguments of the tools about one video."""

    id: str


class WaitArguments(JobArguments):
    """Arguments of `wait`."""

    seconds: Annotated[int, Field(ge=1, le=LONGEST_WAIT_SECONDS), NO_SWITCH] = WAIT_SECONDS


class ExtendArguments(JobArguments):
    """Arguments of `extend`."""

    prompt: Prompt | None = None
    seconds: Seconds | None = None


class NoArguments(_Arguments):
    """Arguments of `queue`: none."""


Tool = Callable[[Mapping[str, Any], ToolCall], Awaitable[dict[str, Any]]]

_READ_ONLY = frozenset({"status", "wait", "result", "queue"})


class Tools:
    """Lists the tools and runs them."""

    def __init__(self, services: Services, *, files_seconds: float, shutdown: Shutdown) -> None:
        self._services = services
        self._shutdown = shutdown
        self._files_seconds = files_seconds
        self._content = Content(services)
        # What runs it, and the key of what it is for.
        self._tools: Mapping[str, tuple[Tool, str]] = {
            "generate": (self._generate, "mcp.generate"),
            "status": (self._status, "mcp.status"),
            "wait": (self._wait, "mcp.wait"),
            "result": (self._result, "mcp.result"),
            "extend": (self._extend, "mcp.extend"),
            "queue": (self._queue, "mcp.queue"),
            "cancel": (self._cancel, "mcp.cancel"),
        }

    def list_tools(self, locale: str) -> list[dict[str, Any]]:
        """Return the tools with their schemas, for the models that are installed."""
        schemas = {
            "generate": self._generate_schema(locale),
            "wait": _schema(WaitArguments, locale),
            "extend": _schema(ExtendArguments, locale),
            "queue": _schema(NoArguments, locale),
        }
        return [
            {
                "name": name,
                "description": text(key, locale),
                "inputSchema": schemas.get(name) or _schema(JobArguments, locale),
                "annotations": {
                    "readOnlyHint": name in _READ_ONLY,
                    "destructiveHint": name == "cancel",
                    "openWorldHint": False,
                },
            }
            for name, (_, key) in self._tools.items()
        ]

    async def run(
        self, name: str, arguments: Mapping[str, Any], tool_call: ToolCall
    ) -> dict[str, Any]:
        """Run a tool and return its answer, which may be a refusal."""
        locale = tool_call.call.locale
        try:
            return await self._find(name)(arguments, tool_call)
        except RushesError as error:
            if not isinstance(error, UserError):
                _log.warning("mcp.failed", tool=name, code=error.code)
            return self._refuse(error, tool_call)
        except Exception as error:  # noqa: BLE001 - the boundary: a bug ends here, logged
            bug_id = log_bug(_log, "mcp.bug", error)
            body = error_json(RushesError("internal", job=bug_id), locale)
            return _answer(body["message"], error=body)

    def _find(self, name: str) -> Tool:
        if name in self._tools:
            return self._tools[name][0]
        guess = closest(name, self._tools)
        raise NotFound(
            "mcp.tool", name=shorten(name), known=[guess] if guess else list(self._tools)
        )

    # -- tools -------------------------------------------------------------------------------

    async def _generate(self, arguments: Mapping[str, Any], tool_call: ToolCall) -> dict[str, Any]:
        own = {**arguments}
        common = ("prompt", "model", "seconds", "size")
        fields = {name: own.pop(name) for name in common & own.keys()}
        installation = self._services.installation
        names = {IMAGE.name, *picture_names(installation.options)}
        pictures = {
            name: given
            for name in names & own.keys()
            if (given := own.pop(name)) is not None  # as if it were absent
        }
        check_arguments(own.keys(), installation.options, (*common, *sorted(names)))
        asked = parse_request(CreateRequest, {**fields, "rushes": own})
        values = options(asked, installation, within="")
        for name, picture in pictures.items():
            if not isinstance(picture, str) or not picture:
                raise UserError("mcp.picture", field=name)
        async with tool_call.turn(pictures) as named:
            call = replace(tool_call.call, options={**values, **named})
            made = await perform(call.commands["/generate"], call)
        return self._accept(made, tool_call)

    async def _status(self, arguments: Mapping[str, Any], tool_call: ToolCall) -> dict[str, Any]:
        asked = parse_request(JobArguments, arguments)
        return self._describe(await actions.find(tool_call.call, asked.id), tool_call)

    async def _wait(self, arguments: Mapping[str, Any], tool_call: ToolCall) -> dict[str, Any]:
        asked = parse_request(WaitArguments, arguments)
        job = await actions.find(tool_call.call, asked.id)
        reported = -1.0
        found = changes(
            job.id,
            events=self._services.events,
            read=lambda: actions.find(tool_call.call, job.id),
            show=lambda job: self._json(job, tool_call),
        )
        with contextlib.suppress(TimeoutError):
            async with contextlib.aclosing(found), self._shutdown.limit_wait(asked.seconds):
                async for change in found:
                    if change is not None:
                        job, data = change
                        # It has to grow, also where only the place in the queue changed.
                        reported = max(float(data["progress"]), reported + 0.01)
                        await tool_call.report(reported, _line(job, tool_call.call))
        return self._describe(await actions.find(tool_call.call, job.id), tool_call)

    async def _result(self, arguments: Mapping[str, Any], tool_call: ToolCall) -> dict[str, Any]:
        asked = parse_request(JobArguments, arguments)
        job = await actions.find_finished(tool_call.call, asked.id)
        file = await self._content.file(tool_call.call, job, Variant.VIDEO)
        size = await self._content.size(tool_call.call, job)
        answer = self._describe(job, tool_call)
        answer["content"].append(
            {
                "type": "resource_link",
                "uri": await tool_call.link(job, file),
                "name": f"{job.id}{file.suffix}",
                "mimeType": TYPES.get(file.suffix, "application/octet-stream"),
                "size": size,
            }
        )
        with contextlib.suppress(EngineError, UserError):  # the clip is there without it
            still = await self._content.read(tool_call.call, job, Variant.THUMBNAIL)
            answer["content"].append(
                {
                    "type": "image",
                    "data": base64.b64encode(still).decode(),
                    "mimeType": TYPES[STILL],
                }
            )
        return answer

    async def _extend(self, arguments: Mapping[str, Any], tool_call: ToolCall) -> dict[str, Any]:
        asked = parse_request(ExtendArguments, arguments)
        job = await actions.find_finished(tool_call.call, asked.id)
        async with tool_call.turn({}):
            made = await actions.extend(
                tool_call.call, job, prompt=asked.prompt, seconds=asked.seconds
            )
        return self._accept(made, tool_call)

    async def _queue(self, arguments: Mapping[str, Any], tool_call: ToolCall) -> dict[str, Any]:
        parse_request(NoArguments, arguments)
        return await _said("/rushes queue", "", tool_call)

    async def _cancel(self, arguments: Mapping[str, Any], tool_call: ToolCall) -> dict[str, Any]:
        asked = parse_request(JobArguments, arguments)
        job = await actions.find(tool_call.call, asked.id)
        return await _said("/rushes cancel", job.id, tool_call)

    # -- how ---------------------------------------------------------------------------------

    def _accept(self, made: Any, tool_call: ToolCall) -> dict[str, Any]:
        assert isinstance(made, Accepted)  # noqa: S101 - what renders returns nothing else
        return self._describe(made.job, tool_call)

    def _describe(self, job: Job, tool_call: ToolCall) -> dict[str, Any]:
        """Return the status of a job: its id and a sentence, and all of it as data."""
        line = _line(job, tool_call.call)
        said = notes(job, self._services.installation, tool_call.call.locale)
        more = [note for note in said if note not in line]
        return _answer(" ".join((f"{job.id}: {line}", *more)), video=self._json(job, tool_call))

    def _json(self, job: Job, tool_call: ToolCall) -> dict[str, Any]:
        return video_json(
            job,
            self._services,
            locale=tool_call.call.locale,
            files_seconds=self._files_seconds,
            names=MCP,
        )

    def _refuse(self, error: RushesError, tool_call: ToolCall) -> dict[str, Any]:
        known = self._services.installation.options
        if "field" in error.params:  # options are arguments here
            error.params["field"] = str(error.params["field"]).removeprefix(WITHIN)
        body = error_json(error, tool_call.call.locale, options=known, names=MCP)
        if isinstance(body["param"], str):
            body["param"] = body["param"].removeprefix(WITHIN)
        wait = None
        if error.code.startswith("queue.full"):
            wait = self._services.jobs.next_start_in(tool_call.call.channel.tenant)
        if (seconds := retry_seconds(error, wait)) is not None:
            body["retry_after"] = seconds
        return _answer(body["message"], error=body)

    def _generate_schema(self, locale: str) -> dict[str, Any]:
        installation = self._services.installation
        schema = _schema(CreateRequest, locale)
        properties = schema["properties"]
        own = options_schema(installation, locale)["properties"]
        for name, picture in picture_schemas(installation, locale).items():
            own[name] = picture | {
                "description": text("mcp.picture", locale, what=picture["description"])
            }
        sizes = {str(size) for model in installation.offered for size in model.sizes.values()}
        properties["size"] = {"enum": sorted(sizes), "description": text("mcp.size", locale)}
        properties["seconds"] = {
            "type": "number",
            "exclusiveMinimum": 0,
            "description": text("mcp.seconds", locale),
        }
        properties["image"] = {"type": "string", "description": text("mcp.image", locale)}
        properties["model"] = own.pop(MODEL.name)
        for gone in ("rushes", "input_reference"):
            del properties[gone]
        schema.pop("$defs", None)
        return {**schema, "properties": {**properties, **own}}


async def _said(command: str, words: str, tool_call: ToolCall) -> dict[str, Any]:
    card = await perform(tool_call.call.commands[command], replace(tool_call.call, text=words))
    assert isinstance(card, Card)  # noqa: S101 - these commands return nothing else
    return _answer(MCP.say(plain(card), tool_call.call.installation.options))


def _line(job: Job, call: Call) -> str:
    """Return the status of a job in one line."""
    card = replace(job_status.status(call, job), owner=None, title="", facts="")
    return " ".join(MCP.say(plain(card), call.installation.options).split())


def _schema(arguments: type[BaseModel], locale: str) -> dict[str, Any]:
    schema = arguments.model_json_schema()
    schema.pop("description", None)
    schema.pop("title", None)
    for name, described in schema["properties"].items():
        described.pop("title", None)
        if name == "seconds" and arguments is ExtendArguments:
            schema["properties"][name] = {"type": "number", "exclusiveMinimum": 0}
        key = {"id": "mcp.id", "prompt": "mcp.prompt", "seconds": "mcp.seconds"}.get(name)
        if arguments is WaitArguments and name == "seconds":
            key = "mcp.wait_seconds"
        if key is not None:
            schema["properties"][name]["description"] = text(key, locale)
    return schema


def _answer(said: str, **data: Any) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "content": [{"type": "text", "text": said}],
        "isError": "error" in data,
    }
    return answer | ({"structuredContent": data} if data else {})

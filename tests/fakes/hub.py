"""A hub on the loopback: serves the same files for every repository."""

import asyncio
import hashlib
from contextlib import asynccontextmanager

from aiohttp import web

COMMIT = "0" * 39 + "1"


class Hub:
    """Serves files by name, and keeps a list of what was asked."""

    def __init__(self, files):
        self.files = files
        self.asked = []
        self.tokens = []
        self.refuse = lambda _request: None
        """Returns an answer to give instead, or None."""
        self.body = lambda data: data
        self.cut_off = False
        self.stops_after = None
        """So many bytes of a file are sent, and then nothing."""
        self.halfway = asyncio.Event()
        """Set once they are."""
        self.ranges = []
        """What was asked of files that were begun before."""

    @web.middleware
    async def judge(self, request, handler):
        self.tokens.append(request.headers.get("Authorization"))
        return self.refuse(request) or await handler(request)

    async def info(self, request):
        files = [{"rfilename": name, "size": len(data)} for name, data in self.files.items()]
        name = "/".join(request.match_info[part] for part in ("owner", "name"))
        card = {"license": "apache-2.0"}
        return web.json_response(
            {"id": name, "sha": COMMIT, "siblings": files, "private": False, "cardData": card}
        )

    async def tree(self, _request):
        files = [
            {"type": "file", "path": name, "size": len(data), "oid": COMMIT}
            for name, data in self.files.items()
        ]
        return web.json_response(files)

    async def file(self, request):
        data = self.files[request.match_info["path"]]
        headers = {
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Repo-Commit": COMMIT,
            "Accept-Ranges": "bytes",
        }
        self.asked.append((request.method, request.path))
        if self.cut_off and request.method == "GET":
            response = web.StreamResponse(headers=headers)
            response.content_length = len(data)
            await response.prepare(request)
            await response.write(data[: len(data) // 2])
            request.transport.abort()
            return response
        data = self.body(data)
        if (asked := request.http_range).start:
            self.ranges.append((request.match_info["path"], asked.start))
            headers["Content-Range"] = f"bytes {asked.start}-{len(data) - 1}/{len(data)}"
            return web.Response(status=206, body=data[asked.start :], headers=headers)
        if (
            self.stops_after is not None
            and request.method == "GET"
            and len(data) > self.stops_after
        ):
            response = web.StreamResponse(headers=headers)
            response.content_length = len(data)
            await response.prepare(request)
            await response.write(data[: self.stops_after])
            self.halfway.set()
            await asyncio.Event().wait()  # until the client is gone
        return web.Response(body=data, headers=headers)


@asynccontextmanager
async def serving(files):
    """Yield a hub that listens; `endpoint` is its address."""
    served = Hub(files)
    app = web.Application(middlewares=[served.judge])
    app.router.add_get("/api/models/{owner}/{name}/revision/{revision}", served.info)
    app.router.add_get("/api/models/{owner}/{name}", served.info)
    app.router.add_get("/api/models/{owner}/{name}/tree/{revision}", served.tree)
    app.router.add_get("/{owner}/{name}/resolve/{revision}/{path:.*}", served.file)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield served
    finally:
        await runner.cleanup()

import asyncio
import json
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.domain.errors import EngineError, NotFound, UserError, WorkerLost
from inference.domain.reference import Attached, FromParent, Kept, Prepared
from inference.domain.render import Manifest, Progress, Stage
from inference.domain.spec import Aspect, Resolution, Spec
from inference.domain.watermark import Corner, WatermarkSettings
from inference.workers.protocol import (
    MAX_FRAME_BYTES,
    Cancel,
    Decoder,
    Done,
    ErrorKind,
    Failed,
    Heartbeat,
    Hello,
    MediaCall,
    ProgressMessage,
    ProtocolError,
    Returned,
    Run,
    Shutdown,
    Stopped,
    encode,
)
from inference.workers.slot import RenderTask

numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(), max_size=40)  # lone surrogates too: chat sends anything
scalars = st.none() | st.booleans() | st.integers() | numbers | texts
data = st.dictionaries(
    texts, st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
)
paths = st.from_regex(r"/[a-zé ]{1,9}/[\udc80-\udcff]?[a-z]{1,5}", fullmatch=True).map(Path)
references = st.one_of(
    st.builds(Attached, texts),
    st.builds(FromParent, st.sampled_from(Kept)),
    st.builds(Prepared, st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}", fullmatch=True)),
)
specs = st.builds(
    Spec,
    prompt=texts,
    model=texts,
    resolution=st.sampled_from(Resolution),
    aspect=st.sampled_from(Aspect),
    frames=st.integers(),
    options=st.dictionaries(st.text(), st.text() | st.integers() | st.booleans()),
    refine=st.booleans(),
    seed=st.integers(),
    steps=st.integers(),
    cfg=numbers,
    loops=st.integers(),
    negative=st.none() | texts,
    image=st.none() | references,
    last=st.none() | references,
    latents=st.none() | references,
    texts=st.dictionaries(st.text(), texts),
)
watermarks = st.builds(
    WatermarkSettings,
    text=st.text(min_size=1, max_size=40).filter(str.strip),
    logo=st.none() | paths,
    corner=st.sampled_from(Corner),
    opacity=st.floats(0.2, 1),
)
tasks = st.builds(
    RenderTask,
    job_id=texts,
    attempt=st.integers(),
    spec=specs,
    directory=paths,
    image=st.none() | paths,
    watermark=watermarks,
    recipe=data,
)
manifests = st.builds(
    Manifest,
    name=texts,
    size=st.integers(),
    sha256=texts,
    width=st.integers(),
    height=st.integers(),
    frames=st.integers(),
    timings=st.dictionaries(texts, numbers),
)
progress = st.builds(
    Progress, stage=st.sampled_from(Stage), done=st.integers(), total=st.integers()
)
messages = st.one_of(
    st.builds(Run, task=tasks),
    st.builds(Cancel, job_id=texts),
    st.builds(Shutdown),
    st.builds(MediaCall, operation=texts, arguments=data),
    st.builds(
        Hello,
        device=texts,
        memory_bytes=st.integers(),
    ),
    st.builds(Heartbeat, warm_model=st.none() | texts),
    st.builds(ProgressMessage, job_id=texts, progress=progress),
    st.builds(Done, job_id=texts, manifest=manifests),
    st.builds(
        Failed,
        job_id=st.none() | texts,
        kind=st.sampled_from(ErrorKind),
        code=texts,
        params=data,
        transient=st.booleans(),
    ),
    st.builds(Stopped, job_id=texts),
    st.builds(Returned, result=data),
)


def frame(value):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack("!I", len(body)) + body


@given(sent=st.lists(messages, max_size=4), cut=st.integers(1, 50))
def test_messages_come_back_equal_however_the_stream_is_cut(sent, cut):
    stream = b"".join(encode(message) for message in sent)
    decoder = Decoder()

    received = []
    for start in range(0, len(stream), cut):
        received += decoder.feed(stream[start : start + cut])

    assert received == sent


async def test_the_codec_serves_a_blocking_socket_and_an_asyncio_stream_alike():
    message = Heartbeat(warm_model="nano")
    blocking, other = socket.socketpair()
    with blocking:
        reader, writer = await asyncio.open_unix_connection(sock=other)
        blocking.sendall(encode(message))
        assert Decoder().feed(await reader.read(1000)) == [message]

        writer.write(encode(message))
        await writer.drain()
        assert Decoder().feed(blocking.recv(1000)) == [message]
        writer.close()
        await writer.wait_closed()


GOOD = {"type": "hello", "device": "cpu", "memory_bytes": 1, "problem": None}
FILE = {
    "type": "done",
    "job_id": "a",
    "manifest": {
        "name": "clip.mp4",
        "size": 1,
        "sha256": "",
        "width": 1,
        "height": 1,
        "frames": 1,
        "notes": [],
        "timings": {},
        "forwards": None,
        "peak_bytes": None,
        "latents_sha256": None,
    },
}


def with_notes(notes):
    return FILE | {"manifest": FILE["manifest"] | {"notes": notes}}


@pytest.mark.parametrize("message", [GOOD, FILE, with_notes(["shortened"])])
def test_an_honest_message_is_read(message):
    assert len(Decoder().feed(frame(message))) == 1


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(frame(b"\xff\xfe"), id="not text"),
        pytest.param(frame(b"{"), id="not JSON"),
        pytest.param(frame(b"[" * 100_000), id="too deep"),
        pytest.param(frame([1]), id="not an object"),
        pytest.param(frame({}), id="no type"),
        pytest.param(frame({"type": "message"}), id="unknown type"),
        pytest.param(frame({"type": ["hello"]}), id="a type that is no text"),
        pytest.param(frame({"type": "cancel"}), id="member missing"),
        pytest.param(frame({"type": "cancel", "job_id": "a", "now": True}), id="member unknown"),
        pytest.param(frame({"type": "cancel", "job_id": None}), id="null for text"),
        pytest.param(frame(GOOD | {"memory_bytes": "2"}), id="text for a number"),
        pytest.param(frame(GOOD | {"memory_bytes": True}), id="truth for a number"),
        pytest.param(frame(with_notes([1])), id="number in a list of texts"),
        pytest.param(frame(with_notes("nano")), id="text for a list"),
        pytest.param(
            frame({"type": "progress", "job_id": "a", "progress": {"stage": "dreaming"}}),
            id="member missing further down",
        ),
        pytest.param(
            frame(
                {
                    "type": "progress",
                    "job_id": "a",
                    "progress": {"stage": "dreaming", "done": 1, "total": 2},
                }
            ),
            id="unknown stage",
        ),
        pytest.param(struct.pack("!I", MAX_FRAME_BYTES + 1), id="too long"),
        pytest.param(b"GET / HTTP/1.1\r\n", id="another protocol"),
    ],
)
def test_what_no_honest_end_sends_is_refused(stream):
    with pytest.raises(ProtocolError) as caught:
        Decoder().feed(stream)

    assert isinstance(caught.value, WorkerLost)
    assert caught.value.code == "worker.protocol"


@given(st.binary(max_size=200))
def test_noise_is_refused_or_waited_out_but_nothing_else(noise):
    decoder = Decoder()
    try:
        decoder.feed(frame(noise))
    except ProtocolError:
        return
    pytest.fail("noise was taken for a message")


def test_a_refusal_does_not_repeat_what_was_sent():
    with pytest.raises(ProtocolError) as caught:
        Decoder().feed(frame({"type": "run", "task": "a secret prompt"}))

    assert "secret" not in str(caught.value)


def test_a_message_too_long_is_not_sent():
    with pytest.raises(ProtocolError):
        encode(Cancel(job_id="x" * MAX_FRAME_BYTES))


@pytest.mark.parametrize(
    ("error", "kind", "transient"),
    [
        (EngineError("disk.full", transient=True, path="/x"), EngineError, True),
        (EngineError("disk.full", path="/x"), EngineError, False),
        (UserError("disk.full", path="/x"), UserError, None),
        (NotFound("disk.full", path="/x"), UserError, None),
        (WorkerLost("disk.full", path="/x"), EngineError, False),
    ],
)
def test_errors_keep_branch_code_and_parameters_across_the_pipe(error, kind, transient):
    (message,) = Decoder().feed(encode(Failed.of(error, "job")))

    rebuilt = message.error()

    assert type(rebuilt) is kind
    assert (rebuilt.code, rebuilt.params) == ("disk.full", {"path": "/x"})
    assert getattr(rebuilt, "transient", None) is transient


def test_parameters_that_are_not_json_become_text():
    error = EngineError("x", path=Path("/a/b"), sizes=(1, 2))

    assert Failed.of(error).params == {"path": "/a/b", "sizes": [1, 2]}

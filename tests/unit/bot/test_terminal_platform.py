from __future__ import annotations

import json
import os
from dataclasses import asdict, replace

import pytest

from bot.platform import Outgoing
from bot.terminal.platform import Address, TerminalPlatform
from commands.text.card import Attachment, Card, CardKind
from commands.text.messages import error_text
from inference.domain.errors import DeliveryError, UserError
from inference.domain.outbox import ActKind, Route
from inference.media.results import ImageLimits
from tests.fakes.orders import a_job, a_spec


@pytest.fixture
def terminal(tmp_path, clock):
    return TerminalPlatform(
        tmp_path / "threads", clock=clock, limits=ImageLimits(file_bytes=2 * 2**20)
    )


@pytest.fixture
def clip_file(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"frames")
    return path


def job_in(guild: str, **changes):
    address = asdict(Address(guild=guild, directory=changes.pop("directory", "/")))
    return a_job(tenant=f"terminal:{guild}", platform="terminal", address=address, **changes)


def clip_message(clip_file, job=None, text="here it is"):
    job = job or job_in("studio", id="JOB0000001")
    attachment = Attachment(path=clip_file, name=f"{job.id}.mp4", description="a fox")
    card = Card(kind=CardKind.CLIP, lines=((text,),), attachment=attachment, job=job.id)
    return Outgoing(
        key=f"{job.id}:clip", kind=ActKind.CLIP, job=job, card=card, route=Route.THREAD, trace={}
    )


def card_message(text="in queue", job=None):
    job = job or job_in("studio", id="JOB0000001")
    card = Card(kind=CardKind.WAITING, title="a fox", lines=((text,),), job=job.id)
    return Outgoing(
        key=f"{job.id}:card", kind=ActKind.CARD, job=job, card=card, route=Route.CHANNEL, trace={}
    )


async def forget(trace):
    raise AssertionError("a folder needs no memory")


def log_of(terminal, message):
    lines = (terminal.thread(message.job) / "thread.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


async def test_a_post_puts_the_file_and_one_line_into_the_thread(terminal, clip_file, clock):
    message = clip_message(clip_file)
    await terminal.post(message, forget)
    thread = terminal.thread(message.job)
    assert (thread / "JOB0000001.mp4").read_bytes() == b"frames"
    assert log_of(terminal, message) == [
        {
            "key": "JOB0000001:clip",
            "kind": "clip",
            "time": clock.now(),
            "text": "here it is",
            "file": "JOB0000001.mp4",
            "spoiler": False,
        }
    ]
    assert sorted(path.name for path in thread.iterdir()) == ["JOB0000001.mp4", "thread.jsonl"]


async def test_a_repeated_post_adds_nothing_and_gives_the_same_receipt(terminal, clip_file):
    message = clip_message(clip_file)
    first = await terminal.post(message, forget)
    with terminal.listen() as heard:
        assert await terminal.post(message, forget) == first
        assert heard.empty()
    assert len(log_of(terminal, message)) == 1


async def test_a_post_that_died_between_file_and_line_is_not_found_and_completed(
    terminal, clip_file
):
    message = clip_message(clip_file)
    thread = terminal.thread(message.job)
    thread.mkdir(parents=True)
    (thread / "JOB0000001.mp4").write_bytes(b"fra")
    assert await terminal.find(message) is None
    receipt = await terminal.post(message, forget)
    assert (thread / "JOB0000001.mp4").read_bytes() == b"frames"
    assert await terminal.find(message) == receipt
    assert len(log_of(terminal, message)) == 1


async def test_a_line_that_was_cut_short_is_no_message_and_harms_no_other(terminal, clip_file):
    card, clip = card_message(), clip_message(clip_file)
    await terminal.post(card, forget)
    log = terminal.thread(clip.job) / "thread.jsonl"
    with log.open("a") as file:
        file.write('{"key": "JOB0000001:clip", "ki')
    assert await terminal.find(clip) is None
    await terminal.post(clip, forget)
    assert await terminal.find(card) is not None
    assert await terminal.find(clip) is not None


async def test_nothing_is_found_in_a_thread_that_is_not_there(terminal, clip_file):
    assert await terminal.find(clip_message(clip_file)) is None


async def test_an_edit_keeps_the_newest_state_of_the_card_and_no_other_line(terminal):
    receipt = await terminal.post(card_message("in queue"), forget)
    message = card_message("step 3 of 10")
    await terminal.edit(receipt, message)
    thread = terminal.thread(message.job)
    assert (thread / "card.txt").read_text() == "a fox\nstep 3 of 10\n"
    assert [record["text"] for record in log_of(terminal, message)] == ["a fox\nin queue"]


async def test_an_edit_in_a_deleted_thread_says_that_it_is_gone(terminal):
    with pytest.raises(DeliveryError) as caught:
        await terminal.edit({}, card_message())
    assert not caught.value.transient
    assert caught.value.code == "delivery.thread_gone"


async def test_a_disk_that_refuses_is_tried_again(terminal, clip_file, tmp_path):
    (tmp_path / "threads").write_text("a file where the folder should be")
    with pytest.raises(DeliveryError) as caught:
        await terminal.post(clip_message(clip_file), forget)
    assert caught.value.transient


async def test_listeners_hear_posts_and_edits_with_the_file_in_the_thread(terminal, clip_file):
    clip = clip_message(clip_file)
    with terminal.listen() as heard:
        receipt = await terminal.post(card_message(), forget)
        await terminal.edit(receipt, card_message("done"))
        await terminal.post(clip, forget)
    said = [heard.get_nowait() for _ in range(3)]
    assert [(item.kind, item.edited) for item in said] == [
        (ActKind.CARD, False),
        (ActKind.CARD, True),
        (ActKind.CLIP, False),
    ]
    assert said[2].card.attachment.path == terminal.thread(clip.job) / "JOB0000001.mp4"
    await terminal.edit(receipt, card_message("nobody listens"))
    assert heard.empty()


@pytest.mark.parametrize("guild", ["../../etc", "..", "a/b", "ünïcode", "", "x" * 200, "a b"])
def test_no_guild_name_leaves_the_folder_of_threads(terminal, tmp_path, guild):
    thread = terminal.thread(job_in(guild))
    assert thread.resolve().parent.parent == tmp_path / "threads"
    assert len(thread.parent.name) < 64


def test_guilds_that_look_alike_in_a_path_stay_apart(terminal):
    folders = {terminal.thread(job_in(guild)).parent for guild in ("a/b", "a_b", "a b", "a:b")}
    assert len(folders) == 4


async def test_an_image_is_read_relative_to_where_the_person_is(terminal, tmp_path):
    (tmp_path / "fox.png").write_bytes(b"pixels")
    job = job_in("studio", directory=str(tmp_path), spec=a_spec(image="fox.png"))
    await terminal.images.fetch(job, job.spec.image.url, tmp_path / "source")
    assert (tmp_path / "source").read_bytes() == b"pixels"


async def test_an_image_below_the_home_folder_is_found(terminal, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "fox.png").write_bytes(b"pixels")
    await terminal.images.fetch(job_in("studio"), "~/fox.png", tmp_path / "source")
    assert (tmp_path / "source").read_bytes() == b"pixels"


async def test_an_address_is_no_file_here_and_the_answer_says_what_to_do(terminal, tmp_path):
    with pytest.raises(UserError) as caught:
        await terminal.images.fetch(
            job_in("studio"), "https://a.example/x.png", tmp_path / "source"
        )
    assert "Save https://a.example/x.png as a file first" in error_text(caught.value, "en")


@pytest.mark.parametrize("name", ["nothing.png", "", ".", "pipe", "nul\0.png"])
async def test_what_is_not_a_file_is_not_an_image(terminal, tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    job = job_in("studio", directory=str(tmp_path), spec=a_spec(image=name))
    with pytest.raises(UserError) as caught:
        await terminal.images.fetch(job, job.spec.image.url, tmp_path / "source")
    assert caught.value.code == "image.not_found"


async def test_an_image_beyond_the_limit_is_refused(terminal, tmp_path):
    big = tmp_path / "big.png"
    big.write_bytes(b"x" * (2 * 2**20))
    job = job_in("studio", spec=a_spec(image=str(big)))
    await terminal.images.fetch(job, job.spec.image.url, tmp_path / "source")
    with big.open("ab") as file:
        file.write(b"x")
    with pytest.raises(UserError) as caught:
        await terminal.images.fetch(job, job.spec.image.url, tmp_path / "source")
    assert (caught.value.code, caught.value.params) == ("image.too_large", {"limit_mb": 2})


async def test_jobs_of_one_guild_have_threads_of_their_own(terminal, clip_file):
    one, other = job_in("studio", id="JOB0000001"), job_in("studio", id="JOB0000002")
    await terminal.post(clip_message(clip_file, one), forget)
    assert await terminal.find(clip_message(clip_file, other)) is None
    assert await terminal.find(replace(clip_message(clip_file, one), trace={"x": 1})) is not None

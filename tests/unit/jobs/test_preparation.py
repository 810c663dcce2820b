from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from inference.domain.errors import EngineError, StoreError, UserError
from inference.domain.job import Failure, JobState
from inference.domain.outbox import ActKind
from inference.domain.reference import IMAGE_NAME, LAST_NAME, FromParent, Kept, Prepared
from inference.domain.render import LATENTS_NAME
from inference.jobs.input_files import DOWNLOADS, DOWNLOADS_OF_TENANT
from inference.jobs.preparation import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, MACHINE_TRIES
from inference.jobs.service import CancelOutcome
from tests.fakes.orders import an_order

URL = "https://cdn.example/cat.gif"


@pytest.fixture(autouse=True)
async def paused(core):
    await core.jobs.pause()


async def test_a_job_of_words_alone_goes_straight_in_line(bench, core):
    job = await bench.queued(prompt="an owl")

    assert job.spec.image is None
    assert bench.images.fetched == []
    assert core.jobs.list_queued() == [job.id]


async def test_a_reference_image_is_fetched_cleaned_and_named(bench, core):
    job = await bench.queued(image=URL)

    assert bench.images.fetched == [URL]
    assert job.spec.image == Prepared(IMAGE_NAME)
    assert core.artifacts.input(job, job.spec.image).read_bytes() == b"clean raw"
    assert [path.name for path in core.artifacts.input_directory(job.id).iterdir()] == ["image.png"]


@pytest.mark.parametrize("culprit", ["images", "cleaner"])
@pytest.mark.parametrize(
    ("error", "end"),
    [
        (UserError("image.too_large", limit=8), (JobState.REFUSED, "image.too_large")),
        (EngineError("disk.full"), (JobState.FAILED, "disk.full")),
        (ZeroDivisionError(), (JobState.FAILED, "internal")),
    ],
)
async def test_an_image_that_cannot_be_used_ends_the_job_and_says_why(
    bench, core, culprit, error, end
):
    getattr(bench, culprit).error = error
    job, other = await bench.submit(image=URL), await bench.submit()

    ended = await bench.reached(job.id, JobState.REFUSED, JobState.FAILED)

    assert (ended.state, ended.failure.code) == end
    assert ended.ended_at == bench.clock.now()
    assert await core.outbox.get(job.id, ActKind.NOTICE)
    await bench.reached(other.id, JobState.QUEUED)


async def test_an_image_from_a_platform_that_keeps_none_is_refused(bench, core):
    order = replace(an_order(image=URL), platform="elsewhere")

    job = await core.jobs.submit(order)

    refused = await bench.reached(job.id, JobState.REFUSED)
    assert refused.failure.code == "image.fetch_failed"


async def test_a_job_cancelled_while_its_image_is_on_the_way_never_stands_in_line(bench, core):
    bench.images.gate = asyncio.Event()
    job = await bench.submit(image=URL)
    await bench.reached(job.id, JobState.PREPARING)

    assert await bench.cancel(job) is CancelOutcome.CANCELLED
    bench.images.gate.set()
    await bench.queued()

    assert (await bench.now(job)).state is JobState.CANCELLED
    assert job.id not in core.jobs.list_queued()


async def fetching(images, count):
    async with asyncio.timeout(180):
        while len(images.fetched) < count:  # noqa: ASYNC110 - nobody tells us, so look
            await asyncio.sleep(0.001)


async def test_downloads_that_hang_hold_up_neither_words_nor_another_chats_images(bench, core):
    bench.images.gate = asyncio.Event()
    for number in range(DOWNLOADS + 4):
        await bench.submit(tenant=f"guild:{number}", image=URL)
    await fetching(bench.images, DOWNLOADS)

    await bench.queued()
    elsewhere = await core.jobs.submit(replace(an_order(image=URL), platform="other"))
    await bench.reached(elsewhere.id, JobState.QUEUED)

    assert len(bench.images.fetched) == DOWNLOADS
    bench.images.gate.set()
    await fetching(bench.images, DOWNLOADS + 4)


async def test_downloads_of_a_guild_that_hang_do_not_hold_up_another_of_its_chat(bench, core):
    bench.images.gate = gate = asyncio.Event()
    for _ in range(DOWNLOADS + 4):
        await bench.submit(tenant="guild:hung", image=URL)
    await fetching(bench.images, DOWNLOADS_OF_TENANT)

    bench.images.gate = None
    await bench.queued(tenant="guild:well", image=URL)

    assert len(bench.images.fetched) == DOWNLOADS_OF_TENANT + 1
    gate.set()
    await fetching(bench.images, DOWNLOADS + 5)


async def test_a_download_without_end_is_given_up(bench, core, monkeypatch):
    monkeypatch.setattr("inference.jobs.input_files.DOWNLOAD_SECONDS", 0.05)
    bench.images.gate = asyncio.Event()

    job = await bench.submit(image=URL)

    job = await bench.reached(job.id, JobState.REFUSED)
    assert job.failure == Failure(code="image.fetch_failed")


async def test_a_fault_of_the_machine_is_not_the_jobs(bench, core, clock):
    bench.cleaner.error = EngineError("media.unavailable", transient=True)
    job = await bench.submit(image=URL)
    await clock.asleep(FIRST_RETRY_SECONDS)
    bench.cleaner.error = None
    clock.advance(FIRST_RETRY_SECONDS)

    await bench.reached(job.id, JobState.QUEUED)


async def test_a_fault_of_the_machine_that_stays_ends_the_job(bench, core, clock):
    bench.cleaner.error = EngineError("media.unavailable", transient=True)
    job = await bench.submit(image=URL)
    for failures in range(MACHINE_TRIES - 1):
        pause = min(FIRST_RETRY_SECONDS * 2**failures, LONGEST_RETRY_SECONDS)
        await clock.asleep(pause)
        clock.advance(pause)

    job = await bench.reached(job.id, JobState.FAILED)
    assert job.failure.code == "media.unavailable"


async def test_a_job_made_from_another_inherits_its_image(bench, core):
    parent = await bench.queued(image=URL)

    order = replace(an_order(image="image.png"), parent=parent.id)
    child = await bench.reached((await core.jobs.submit(order)).id, JobState.QUEUED)

    assert bench.images.fetched == [URL]
    assert core.artifacts.input(child, child.spec.image).read_bytes() == b"clean raw"


@pytest.mark.parametrize("case", ["foreign", "swept", "unknown"])
async def test_an_image_that_cannot_be_inherited_has_expired(bench, core, case):
    parent = await bench.queued(image=URL)
    if case == "swept":
        core.artifacts.remove(parent.id)
    order = replace(
        an_order("guild:b" if case == "foreign" else "guild:a", image="image.png"),
        parent="UNKNOWN" if case == "unknown" else parent.id,
    )

    child = await bench.reached((await core.jobs.submit(order)).id, JobState.REFUSED)

    assert child.failure.code == "image.expired"


async def test_preparing_starts_over_after_a_crash(bench, core):
    bench.images.gate = asyncio.Event()
    job = await bench.submit(image=URL)
    await bench.reached(job.id, JobState.PREPARING)

    after = bench.crashed()
    async with after.open():
        queued = await after.reached(job.id, JobState.QUEUED)

    assert queued.spec.image == Prepared(IMAGE_NAME)
    assert after.images.fetched == [URL]


async def test_jobs_of_one_person_keep_their_order(bench, core):
    jobs = [await bench.submit(seed=seed) for seed in range(30)]
    for job in jobs:
        await bench.reached(job.id, JobState.QUEUED)

    assert core.jobs.list_queued() == [job.id for job in jobs]


async def test_a_disk_that_is_full_for_a_while_stops_neither_preparing_nor_the_process(
    bench, core, monkeypatch
):
    async def refused():
        raise StoreError("store.full")

    database = core.store._database
    writer = database._writer
    bench.images.gate = asyncio.Event()
    job = await bench.submit(image=URL)
    await bench.reached(job.id, JobState.PREPARING)

    await writer.execute("PRAGMA query_only = ON")
    with monkeypatch.context() as patch:
        patch.setattr(database, "_replace_writer", refused)  # a new connection is no better
        bench.images.gate.set()
        await bench.clock.asleep(0.5)
    await writer.execute("PRAGMA query_only = OFF")
    bench.clock.advance(0.5)

    await bench.reached(job.id, JobState.QUEUED)


async def test_both_images_of_a_clip_are_fetched_and_cleaned(bench, core):
    job = await bench.queued(image=URL, last=URL + "?last")

    assert bench.images.fetched == [URL, URL + "?last"]
    assert (job.spec.image, job.spec.last) == (Prepared(IMAGE_NAME), Prepared(LAST_NAME))
    assert core.artifacts.input(job, job.spec.last).read_bytes() == b"clean raw"


@pytest.fixture
async def extendable(bench, core):
    """A finished job whose latents are kept."""
    await core.jobs.resume()
    job = await bench.submit()
    await bench.executor.started()
    bench.executor.finish(latents=b"latents")
    job = await bench.reached(job.id, JobState.DELIVERING)
    await core.jobs.pause()
    return job


async def test_a_clip_goes_on_from_what_its_parent_kept(bench, core, extendable):
    assert core.jobs.extendable(extendable)

    child = await bench.queued(
        parent=extendable.id, latents=FromParent(Kept.LATENTS), after_frames=49
    )
    again = await bench.queued(parent=child.id, latents=LATENTS_NAME, after_frames=49)

    for job in (child, again):
        assert job.spec.latents == Prepared(LATENTS_NAME)
        assert core.artifacts.input(job, job.spec.latents).read_bytes() == b"latents"


@pytest.mark.parametrize("case", ["foreign", "swept", "unknown"])
async def test_a_clip_cannot_go_on_from_what_is_gone(bench, core, extendable, case):
    if case == "swept":
        core.artifacts.remove(extendable.id)

    order = an_order(
        "guild:b" if case == "foreign" else "guild:a",
        parent="UNKNOWN" if case == "unknown" else extendable.id,
        latents=FromParent(Kept.LATENTS),
        after_frames=49,
    )
    child = await bench.reached((await core.jobs.submit(order)).id, JobState.REFUSED)

    assert child.failure.code == "latents.expired"

"""What a request asks for, without a server."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from contextlib import asynccontextmanager, nullcontext

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from bot.http.body import MAX_FIELDS, Upload, parse_json, read_fields
from bot.http.images import ImageRequest
from bot.http.moderations import ModerationRequest
from bot.http.videos.option_values import MOST_LOOPS, options, own_options, passes_for
from bot.http.videos.requests import CreateRequest, image_bytes, parse_request, pictures_of
from bot.http.videos.uploads import Uploads
from commands.installation import Installation
from commands.options import MAX_PROMPT
from commands.specs.extension import Passes
from commands.text.messages import error_text
from inference.domain.capabilities import ModelOption, OptionKind
from inference.domain.errors import UserError
from inference.domain.reference import Attached
from inference.effects.base import EffectEntry
from inference.engines.built_in import OPENSORA, TESTCARD
from tests.fakes.orders import a_job, a_spec, accept

MODEL = TESTCARD.capabilities


def seconds_of(passes, model, *, extending=False):
    begun = 0 if extending else model.overlap_frames
    return (begun + passes.loops * (passes.frames - model.overlap_frames)) / model.file_fps


def close(seconds):
    return max(0.5, seconds / 10)


@pytest.mark.parametrize("seconds", [4, 8, 12, 16, 20])
def test_the_lengths_of_openai_work(seconds):
    for extending in (False, True):
        passes = passes_for(seconds, MODEL, extending=extending)
        off = seconds_of(passes, MODEL, extending=extending) - seconds
        assert abs(off) <= close(seconds)


@given(
    seconds=st.floats(min_value=2, max_value=90),
    model=st.sampled_from([MODEL, OPENSORA.capabilities]),
)
def test_a_length_is_nearly_met_with_as_few_loops_as_will_do(seconds, model):
    off = {
        Passes(frames=frames, loops=loops): abs(
            seconds_of(Passes(frames=frames, loops=loops), model) - seconds
        )
        for loops in range(1, MOST_LOOPS + 1)
        for frames in model.lengths
        if frames > model.overlap_frames
    }
    near = [passes.loops for passes in off if off[passes] <= min(close(seconds), 1.0)]
    if min(off.values()) > close(seconds):  # such as 5.25 s, between one pass and two
        with pytest.raises(UserError, match=r"http\.seconds"):
            passes_for(seconds, model)
        return
    passes = passes_for(seconds, model)
    assert passes.loops == min(near) if near else off[passes] == min(off.values())
    assert off[passes] <= close(seconds)


def test_a_length_that_is_not_to_be_had_names_the_nearest():
    limits = {}
    for seconds in (0, 0.1, 1.5, 90, 9999):
        with pytest.raises(UserError, match=r"http\.seconds_range") as caught:
            passes_for(seconds, MODEL)
        named = caught.value.params
        limits[named["lowest"], named["highest"]] = True
        assert float(named["nearest"]) == named["lowest" if seconds < 2 else "highest"]
    [(lowest, highest)] = limits
    assert lowest == round(49 / 24, 3)
    assert abs(seconds_of(passes_for(60, MODEL), MODEL) - 60) < 1
    for end in (lowest, highest):
        assert abs(seconds_of(passes_for(end, MODEL), MODEL) - end) < 0.01


def test_a_length_a_tenth_beyond_the_longest_is_the_longest():
    longest = Passes(frames=max(MODEL.lengths), loops=MOST_LOOPS)
    most = seconds_of(longest, MODEL)
    for seconds in (most + 0.6, most * 1.1):
        assert passes_for(seconds, MODEL) == longest
    with pytest.raises(UserError, match=r"http\.seconds_range"):
        passes_for(most * 1.12, MODEL)


def test_what_an_extension_adds_is_counted_without_what_it_shares():
    passes = passes_for(4, MODEL, extending=True)
    assert abs(seconds_of(passes, MODEL, extending=True) - 4) <= 0.5


@given(
    st.dictionaries(
        st.text(max_size=9),
        st.none()
        | st.text()
        | st.floats()
        | st.binary().map(Upload)
        | st.dictionaries(st.text(), st.integers()),
    )
)
def test_any_fields_make_a_request_or_a_refusal(fields):
    codes = set()
    for given_fields in (fields, {**fields, "prompt": "a"}):
        try:
            parse_request(CreateRequest, given_fields)
        except UserError as error:
            codes.add(error.code.partition(".")[0])
    assert codes <= {"http"}


@given(st.text())
def test_any_address_gives_bytes_or_a_refusal(address):
    request = CreateRequest.model_validate(
        {"prompt": "a", "input_reference": {"image_url": address}}
    )
    with pytest.raises(UserError):
        image_bytes(request.input_reference)


class Copies:
    """Takes every picture but an empty one as it is."""

    async def clean_image(self, source, target):
        if not source.stat().st_size:
            raise UserError("image.truncated")
        shutil.copyfile(source, target)


async def test_of_two_pictures_of_which_one_is_none_nothing_stays(tmp_path):
    uploads = Uploads(tmp_path / "uploads", Copies())
    with pytest.raises(UserError, match=r"image\.truncated") as refused:
        async with uploads.hold({"image": b"one", "style": b""}, nullcontext()):
            pytest.fail("it was held")
    assert refused.value.params["field"] == "rushes.style"
    assert list((tmp_path / "uploads").iterdir()) == []


@pytest.mark.parametrize("within", ["picture", "turn", "block"])
async def test_who_leaves_before_a_job_can_be_accepted_leaves_no_picture(tmp_path, within):
    reached = asyncio.Event()

    async def reach():
        reached.set()
        await asyncio.Event().wait()

    class Slow(Copies):
        async def clean_image(self, source, target):
            await super().clean_image(source, target)
            if within == "picture" and source.read_bytes() == b"two":
                await reach()

    @asynccontextmanager
    async def turn():
        if within == "turn":
            await reach()
        yield

    async def ask():
        async with uploads.hold({"image": b"one", "style": b"two"}, turn()):
            await reach()

    uploads = Uploads(tmp_path / "uploads", Slow())
    asking = asyncio.create_task(ask())
    await reached.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    # Within the block a job may have been accepted: these go later.
    assert len(list((tmp_path / "uploads").iterdir())) == (2 if within == "block" else 0)


async def test_uploads_go_once_no_waiting_job_needs_them(tmp_path, bench, monkeypatch):
    monkeypatch.setattr("bot.http.videos.uploads.SPARED_SECONDS", -1.0)
    uploads = Uploads(tmp_path / "uploads", Copies())
    needed = await uploads.keep(b"one", "input_reference")
    left = await uploads.keep(b"two", "input_reference")
    job = a_job(spec=a_spec(image=Attached(needed)), platform="http")
    async with bench.open() as core:
        await accept(core.store, job)
        await uploads.sweep(core.database)
        target = tmp_path / "image"
        await uploads.fetch(job, needed, target)
        assert target.read_bytes() == b"one"
        with pytest.raises(UserError, match=r"image\.expired"):
            await uploads.fetch(job, left, target)
        await core.jobs.cancel(job.id, tenant=job.tenant)
        await uploads.sweep(core.database)
    assert list((tmp_path / "uploads").iterdir()) == []


async def test_an_upload_that_vanishes_during_the_sweep_does_not_end_it(
    tmp_path, bench, monkeypatch
):
    monkeypatch.setattr("bot.http.videos.uploads.SPARED_SECONDS", -1.0)
    folder = tmp_path / "uploads"
    uploads = Uploads(folder, Copies())
    left = await uploads.keep(b"two", "input_reference")
    kept = folder / left.removeprefix("upload:")

    class Vanished:
        name, path = "gone", str(folder / "gone")

        def stat(self, *, follow_symlinks=True):
            raise FileNotFoundError(self.path)

    scanned = os.scandir
    monkeypatch.setattr(
        os, "scandir", lambda at: [Vanished(), *scanned(at)] if at == folder else scanned(at)
    )
    async with bench.open() as core:
        await uploads.sweep(core.database)
    assert not kept.exists()


@pytest.mark.parametrize("name", ["upload:../../x", "upload:", "parent:result", "/etc/passwd"])
async def test_no_name_of_an_upload_leads_out_of_the_folder(tmp_path, name):
    with pytest.raises(UserError, match=r"image\.expired"):
        await Uploads(tmp_path).fetch(a_job(), name, tmp_path / "image")


@pytest.fixture
def tinting():
    """Options with the picture of an effect among them."""
    picture = ModelOption(name="tint", kind=OptionKind.IMAGE, default="", texts={"en": "A."})
    entry = EffectEntry(name="tint", options=(picture,), make=lambda _: None)
    return Installation(models=(MODEL,), default_model=MODEL.name, effects=(entry,)).options


def test_the_picture_of_an_effect_is_an_address_a_file_or_null(tinting):
    for value, data in (
        ("data:image/png;base64,AAEC", {"tint": b"\0\1\2"}),
        (Upload(b"\0\1\2"), {"tint": b"\0\1\2"}),
        (None, {}),
    ):
        asked = parse_request(
            CreateRequest, {"prompt": "a", "rushes": {"tint": value, "frames": 49}}
        )
        assert pictures_of(asked.rushes, tinting) == data
        assert own_options(asked.rushes, tinting) == {"frames": 49}


def test_a_wrong_picture_of_an_effect_is_named_by_its_own_field(tinting):
    with pytest.raises(UserError) as caught:
        pictures_of({"tint": "https://example.com/a.png"}, tinting)
    assert (caught.value.code, caught.value.params["field"]) == ("http.picture", "rushes.tint")
    with pytest.raises(UserError) as caught:
        own_options({"frames": Upload(b"49")}, tinting)
    assert (caught.value.code, caught.value.params["field"]) == ("http.no_file", "rushes.frames")


def test_a_prompt_is_too_long_as_in_chats():
    parse_request(CreateRequest, {"prompt": "a" * MAX_PROMPT})
    with pytest.raises(UserError) as caught:
        parse_request(CreateRequest, {"prompt": "a" * (MAX_PROMPT + 1)})
    assert caught.value.code == "prompt.too_long"
    assert caught.value.params == {"limit": MAX_PROMPT, "length": MAX_PROMPT + 1}


@pytest.mark.parametrize(
    ("model", "fields", "code", "field"),
    [
        (CreateRequest, {}, "http.field_missing", "prompt"),
        (CreateRequest, {"prompt": None}, "http.field_missing", "prompt"),
        (CreateRequest, {"prompt": 7}, "http.not_text", "prompt"),
        (CreateRequest, {"prompt": ""}, "http.text_empty", "prompt"),
        (CreateRequest, {"prompt": "a", "seconds": "1e9"}, "http.form", "seconds"),
        (
            CreateRequest,
            {"prompt": "a", "input_reference": "abc"},
            "http.reference",
            "input_reference",
        ),
        (ImageRequest, {"prompt": "a", "n": True}, "http.range", "n"),
        (ImageRequest, {"prompt": "a", "n": "x"}, "http.range", "n"),
        (ImageRequest, {"prompt": "a", "n": 0}, "http.range", "n"),
        (ImageRequest, {"prompt": "a", "response_format": "x"}, "http.choice", "response_format"),
        (ModerationRequest, {}, "http.field_missing", "input"),
        (ModerationRequest, {"input": ""}, "http.moderation", "input"),
        (ModerationRequest, {"input": [{"type": "image_url"}]}, "http.moderation", "input"),
        (ModerationRequest, {"input": [7]}, "http.moderation", "input"),
        (ModerationRequest, {"": "a", "input": "b"}, "http.field_unknown", ""),
    ],
)
@pytest.mark.parametrize("locale", ["en", "ko"])
def test_a_wrong_body_is_told_in_plain_words(model, fields, code, field, locale):
    with pytest.raises(UserError) as caught:
        parse_request(model, fields)
    assert (caught.value.code, caught.value.params["field"]) == (code, field)
    said = error_text(caught.value, locale)
    assert code != "http.range" or "4" in said
    assert not [word for word in ("?", "constrained", "permitted", "None", "True") if word in said]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"rushes": "\ud800"}, "http.object"),
        ({"video": "{\ud800"}, "http.json"),
        ({"input_reference": "{\ud800"}, "http.json"),
        ({"\ud800": 1}, "http.field"),
    ],
)
def test_half_a_character_is_refused(fields, code):
    with pytest.raises(UserError) as caught:
        parse_request(CreateRequest, {"prompt": "a", **fields})
    assert caught.value.code == code


def test_half_a_character_in_json_is_refused():
    for body in ('{"rushes": {"negative": "\\ud800"}}', '["\\uDC00\\ud800"]', '{"\\udfff": 1}'):
        with pytest.raises(UserError, match=r"http\.json"):
            parse_json(body.encode())
    assert parse_json(b'["\\ud83e\\udd8a"]') == ["\N{FOX FACE}"]


def test_null_is_as_good_as_absent():
    asked = parse_request(ImageRequest, {"prompt": "a", "n": None, "size": None, "rushes": None})
    assert (asked.n, asked.rushes) == (1, {})


@pytest.mark.parametrize("value", [1e9, -1, float("inf"), 10**200])
def test_seconds_out_of_all_range_are_told_the_range(value):
    asked = parse_request(CreateRequest, {"prompt": "a", "seconds": value})
    with pytest.raises(UserError) as caught:
        passes_for(float(asked.seconds), MODEL)
    assert caught.value.code == "http.seconds_range"


def test_a_picture_may_be_an_address_alone():
    for address in ("data:image/png;base64,YQ==", "DATA:image/png;BASE64,YQ=="):
        asked = parse_request(CreateRequest, {"prompt": "a", "input_reference": address})
        assert image_bytes(asked.input_reference) == b"a"


@pytest.mark.parametrize(
    ("fields", "twice"),
    [
        (b'{"prompt": "a", "prompt": "b"}', "prompt"),
        (b'{"prompt": "a", "rushes": {"seed": 1, "seed": 2}}', "rushes.seed"),
        (b'{"prompt": "a", "rushes": "{\\"seed\\": 1, \\"seed\\": 2}"}', "rushes.seed"),
        (b'{"prompt": "a", "video": "{\\"id\\": 1, \\"id\\": 2}"}', "video.id"),
        (b'[{"prompt": "a", "prompt": "b"}]', "prompt"),
    ],
)
def test_a_name_twice_is_named(fields, twice):
    with pytest.raises(UserError) as caught:
        parse_request(CreateRequest, parse_json(fields))
    assert (caught.value.code, caught.value.params["field"]) == ("http.field_twice", twice)


def sent(data, kind):
    loop = asyncio.get_running_loop()
    body = StreamReader(BaseProtocol(loop), 2**23, loop=loop)
    body.feed_data(data)
    body.feed_eof()
    return make_mocked_request("POST", "/", headers={"Content-Type": kind}, payload=body)


def member(number):
    head = f'--x\r\nContent-Disposition: form-data; name="rushes[a{number}]"'
    return head.encode() + b"\r\n\r\n1\r\n"


@pytest.mark.parametrize(
    ("form", "code"),
    [
        (b"".join(map(member, range(MAX_FIELDS + 1))), "http.fields"),
        (b"\n" * 1000 + member(0), "http.multipart"),
    ],
)
async def test_a_form_that_would_keep_the_loop_is_refused(form, code):
    with pytest.raises(UserError) as caught:
        await read_fields(sent(form + b"--x--\r\n", "multipart/form-data; boundary=x"))
    assert caught.value.code == code


@pytest.mark.parametrize("fields", [{"model": "a" * 65537}, {"rushes": {"camera": "a" * 65537}}])
def test_a_value_of_a_megabyte_is_not_looked_at(fields):
    with pytest.raises(UserError, match=r"http\.field_large"):
        parse_request(CreateRequest, {"prompt": "a", **fields})


async def test_json_with_a_million_members_is_not_parsed():
    with pytest.raises(UserError, match=r"http\.fields"):
        await read_fields(sent(b'{"prompt": [0' + b",0" * 2**20 + b"]}", "application/json"))


def test_a_table_has_so_many_members():
    names = [f"a{number}" for number in range(MAX_FIELDS + 1)]
    with pytest.raises(UserError, match=r"http\.fields"):
        parse_json(json.dumps({"rushes": dict.fromkeys(names, 1)}).encode())


def test_a_whole_number_may_be_written_with_a_fraction():
    known = Installation(models=(MODEL,), default_model=MODEL.name).options
    assert own_options({"seed": 1.0}, known) == {"seed": 1}
    for wrong in (1.5, True):
        with pytest.raises(UserError) as caught:
            own_options({"seed": wrong}, known)
        assert caught.value.code == "value.not_whole"
    assert caught.value.params["value"] == "true"


def test_a_wrong_resolution_is_told_what_the_model_has():
    here = Installation(models=(MODEL,), default_model=MODEL.name)
    asked = CreateRequest(prompt="a", rushes={"resolution": "8k"})
    with pytest.raises(UserError) as caught:
        options(asked, here)
    assert set(caught.value.params["legal"]) == {size[0].value for size in MODEL.sizes}


INSTALLATION = Installation(models=(MODEL,), default_model=MODEL.name)


@pytest.mark.parametrize(
    ("name", "known"),
    [("camra", ["camera"]), ("image", ["input_reference"]), ("style", None), ("mood", None)],
)
def test_only_what_is_near_is_a_guess_and_else_all_are_named(name, known):
    asked = parse_request(CreateRequest, {"prompt": "a", "rushes": {name: "x"}})
    with pytest.raises(UserError) as caught:
        options(asked, INSTALLATION)
    told = caught.value.params["known"]
    assert told == known or (known is None and {"last", "camera", "seed"} <= set(told))


def test_the_last_frame_is_a_picture_under_rushes():
    last = "data:image/png;base64,AAEC"
    asked = parse_request(CreateRequest, {"prompt": "a", "rushes": {"last": last}})
    assert pictures_of(asked.rushes, INSTALLATION.options) == {"last": b"\0\1\2"}
    assert asked.rushes == {}

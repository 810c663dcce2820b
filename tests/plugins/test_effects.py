"""Effects of a plugin: applied before the watermark, counted, and survived when they fail."""

from __future__ import annotations

import asyncio
import base64
import io
import shutil
import sys
from dataclasses import asdict, replace
from importlib import invalidate_caches

import aiohttp
import av
import numpy as np
import pytest
from PIL import Image

from bot import factories
from bot.app import open_app
from bot.cli.offline_render import write_flags
from bot.http.body import MAX_TEXT
from bot.plugins.loader import gather
from bot.testing import open_terminal
from commands.actions import Action, ButtonId
from commands.caller import Caller, Channel
from commands.policy.legality import check_options
from commands.run import execute, press
from commands.specs.layers import (
    COMMAND,
    FROM_PRESET,
    Layer,
)
from commands.specs.resolve import resolve
from commands.text.card import plain
from inference.domain.effect_use import EffectUse
from inference.domain.errors import Cancelled, EngineError, UserError
from inference.domain.reference import Prepared
from inference.domain.render import Stage
from inference.domain.spec import Spec
from inference.jobs.estimates.cost_model import CostModel
from inference.media.provenance import read_recipe
from inference.workers.local_slot import LocalSlot
from tests.fakes import packages
from tests.process.worker_samples import LIMITS, task
from tests.scenario.http_client import SMALL, http_config, serving
from tests.scenario.http_client import ended as http_ended

PAINT = """
    import os
    import numpy as np
    from inference.domain.capabilities import ModelOption, OptionKind
    from inference.effects.base import EffectEntry

    TROUBLES = ("none", "raise", "exit", "shape", "type", "nan", "nothing", "keep", "wait", "hang")

    class Painter:
        def __init__(self, context):
            if context.values["paint-trouble"] == "hang":
                from inference.effects import chain
                chain.LIMIT_SECONDS = 0.5  # of this worker
            self.seen = 0
            self.first = None

        def apply(self, frames, context):
            trouble = context.values["paint-trouble"]
            self.seen += len(frames)
            if self.seen > 16:
                if trouble == "raise":
                    raise RuntimeError("secret words")
                if trouble == "exit":
                    raise SystemExit(3)
                if trouble == "shape":
                    return frames[:, 1:]
                if trouble == "type":
                    return frames.astype(np.int16)
                if trouble == "nan":
                    return np.full(frames.shape, np.nan)
                if trouble == "nothing":
                    return None
                while trouble == "hang":
                    pass
                while trouble == "wait" and not context.cancelled():
                    pass
            frames[:] = (context.values["paint"], 0, 0)
            return frames

    PAINT = EffectEntry(
        name="paint",
        options=(
            ModelOption(
                name="paint", kind=OptionKind.INTEGER, default=0, lowest=0, highest=255,
                texts={"en": "Paints everything red.", "ko": "모두 빨갛게 칠해요."},
            ),
            ModelOption(
                name="paint-trouble", kind=OptionKind.CHOICE, choices=TROUBLES, default="none",
                advanced=True, texts={"en": "What goes wrong."},
            ),
        ),
        make=Painter,
        order=2,
        seconds_per_megapixel_frame=0.5,
    )

    class Copier:
        def __init__(self, context):
            self.colour = context.pictures["copy"].reshape(-1, 3).mean(0)

        def apply(self, frames, context):
            assert frames.max() > 0  # before the painter
            return np.broadcast_to(self.colour, frames.shape).astype(np.uint8)

    COPY = EffectEntry(
        name="copy",
        options=(ModelOption(name="copy", kind=OptionKind.IMAGE, default="", texts={"en": "A."}),),
        make=Copier,
        order=1,
    )
"""


@pytest.fixture
def painted(place):
    packages.make(place, "rushes_paint", PAINT, effects={"paint": "PAINT", "copy": "COPY"})
    return place


def use(trouble="none", red=200):
    return EffectUse(
        name="paint",
        package="rushes_paint",
        version="1.0",
        seconds_per_megapixel_frame=0.5,
        values={"paint": red, "paint-trouble": trouble},
    )


def slot_of(plugins):
    models = {"testcard": {"step_seconds": 0}}
    return LocalSlot(models=models, limits=LIMITS, plugins=plugins)


def frames_of(path):
    with av.open(str(path)) as clip:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)])


@pytest.mark.process
async def test_an_effect_that_fails_mid_clip_fails_its_job_and_the_next_clip_is_fine(
    painted, tmp_path
):
    async with slot_of(gather()) as slot:
        pid = None
        for number, (trouble, told) in enumerate(
            {
                "raise": "RuntimeError",
                "exit": "SystemExit",
                "shape": "shape [8, 359, 640, 3] instead of [8, 360, 640, 3]",
                "type": "int16 instead of uint8",
                "nan": "float64 instead of uint8, not all of it finite",
                "nothing": "NoneType instead of an array",
            }.items()
        ):
            failing = task(tmp_path, f"JOB{number:05}", effects=(use(trouble),))
            with pytest.raises(EngineError) as caught:
                await slot.render(failing, lambda _: None)
            assert caught.value.code == "effect.failed"
            assert caught.value.params == {
                "effect": "paint",
                "package": "rushes_paint",
                "problem": told,
            }
            assert not [*failing.directory.glob("clip*")]
        pid = slot.pid
        seen = []
        good = task(tmp_path, "GOODGOOD", effects=(use(),))
        manifest = await slot.render(good, seen.append)
        assert slot.pid == pid
    assert manifest.timings["effects"] > 0
    assert [one.done for one in seen if one.stage is Stage.EFFECTS][-1] == 49
    pixels = frames_of(good.directory / "clip.mp4").astype(int)
    assert len(pixels) == 49
    middle = pixels[:, 100:200, 200:400]
    assert np.abs(middle - (200, 0, 0)).max() < 16
    mark = pixels[:, 320:, 500:]  # drawn after the effect, so it is not painted over
    assert np.abs(mark - (200, 0, 0)).max() > 60


@pytest.mark.process
@pytest.mark.slow
async def test_a_plugin_test_is_told_once_of_a_job_that_failed_and_the_log_says_why(
    painted, tmp_path, capfd
):
    asked = "/generate a fox --frames 49 --res 360p --paint 200"
    async with open_terminal(tmp_path) as terminal:
        await terminal.say(f"{asked} --paint-trouble shape")
        with pytest.raises(AssertionError, match="paint of the plugin rushes_paint failed"):
            await terminal.next_file()
        await terminal.say(asked)
        assert (await terminal.next_file()).is_file()
    assert "shape [8, 359, 640, 3] instead of [8, 360, 640, 3]" in capfd.readouterr().err


@pytest.mark.process
@pytest.mark.slow
async def test_an_effect_that_hangs_is_named_and_its_worker_replaced(painted, tmp_path):
    async with slot_of(gather()) as slot:
        await slot.ready()
        with pytest.raises(EngineError) as caught:
            await slot.render(task(tmp_path, effects=(use("hang"),)), lambda _: None)
        assert caught.value.code == "effect.hung"
        assert (caught.value.params["effect"], caught.value.params["package"]) == (
            "paint",
            "rushes_paint",
        )
        assert not caught.value.transient
        await slot.render(task(tmp_path, "GOODGOOD", effects=(use(),)), lambda _: None)
        assert slot.restarts == 1


@pytest.mark.process
async def test_a_cancel_reaches_an_effect(painted, tmp_path):
    async with slot_of(gather()) as slot:
        waiting = asyncio.Event()

        def report(progress):
            if progress.stage is Stage.EFFECTS and progress.done >= 16:
                waiting.set()

        render = asyncio.create_task(slot.render(task(tmp_path, effects=(use("wait"),)), report))
        async with asyncio.timeout(180):
            await waiting.wait()
            await slot.cancel("7Q2FK9XD")
            with pytest.raises(Cancelled):
                await render


@pytest.mark.process
async def test_effects_come_in_their_order_with_their_pictures_on_images_too(painted, tmp_path):
    picture = tmp_path / "blue.png"
    Image.new("RGB", (9, 7), (10, 20, 250)).save(picture)
    copy = EffectUse(
        name="copy",
        package="rushes_paint",
        version="1.0",
        seconds_per_megapixel_frame=0,
        pictures={"copy": Prepared("effect-copy.png")},
    )
    async with slot_of(gather()) as slot:
        made = task(tmp_path, frames=1, effects=(copy,))
        await slot.render(replace(made, pictures={"copy": picture}), lambda _: None)
        gone = replace(use(), name="gone", package="rushes-gone")
        missing = task(tmp_path, "GONEGONE", effects=(gone,))
        with pytest.raises(EngineError) as caught:
            await slot.render(missing, lambda _: None)
    with Image.open(made.directory / "image.png") as still:
        assert still.convert("RGB").getpixel((300, 100)) == (10, 20, 250)
    assert (caught.value.code, caught.value.params["package"]) == ("effect.missing", "rushes-gone")


@pytest.mark.process
async def test_a_queued_job_keeps_its_values_when_its_effect_is_upgraded_before_it_is_rendered(
    painted, tmp_path
):
    new = """
            ModelOption(
                name="paint-speed", kind=OptionKind.INTEGER, default=3, lowest=1, highest=9,
                texts={"en": "New."},
            ),
    """
    text = PAINT.replace("highest=255", "highest=150").replace("options=(", "options=(" + new, 1)
    text = text.replace('choices=TROUBLES, default="none"', 'choices=TROUBLES, default="raise"')
    shutil.rmtree(painted / "rushes_paint-1.0.dist-info")
    effects = {"paint": "PAINT", "copy": "COPY"}
    packages.make(painted, "rushes_paint", text, version="2.0", effects=effects)
    invalidate_caches()
    async with slot_of(gather()) as slot:
        kept = task(tmp_path, effects=(use(red=120),))
        kept.recipe["effects"] = [asdict(use(red=120))]
        manifest = await slot.render(kept, lambda _: None)
        for number, (use_now, option, value) in enumerate(
            [
                (use(red=200), "--paint", 200),
                (use(red="much"), "--paint", "much"),
                (use("gone", red=120), "--paint-trouble", "gone"),
            ]
        ):
            with pytest.raises(EngineError) as caught:
                await slot.render(
                    task(tmp_path, f"JOB{number:05}", effects=(use_now,)), lambda _: None
                )
            assert caught.value.code == "effect.changed"
            assert caught.value.params == {
                "effect": "paint",
                "package": "rushes_paint",
                "option": option,
                "value": value,
            }
            assert not caught.value.transient
    pixels = frames_of(kept.directory / "clip.mp4").astype(int)
    assert np.abs(pixels[:, 100:200, 200:400] - (120, 0, 0)).max() < 16
    [named] = read_recipe(kept.directory / "clip.mp4")["effects"]
    assert named["version"] == "2.0"
    assert named["values"] == {"paint": 120, "paint-trouble": "none", "paint-speed": 3}
    assert manifest.effects == {"paint": "rushes_paint 2.0"}


@pytest.mark.tour
@pytest.mark.process
def test_an_effect_is_chosen_by_its_option_and_counted(painted, config_of):
    installation = factories.describe_installation(config_of())
    assert {"paint", "paint-trouble", "copy"} <= set(installation.options.by_name)

    def resolved(**values):
        return resolve("a fox", [Layer(name=COMMAND, values=values, asked=True)], installation)

    spec = resolved(paint=9, copy="blue.png").spec
    assert [effect.name for effect in spec.effects] == ["copy", "paint"]
    assert (spec.effects[1].package, spec.effects[1].version) == ("rushes_paint", "1.0")
    assert Spec.from_dict(spec.as_dict()) == spec
    assert resolved().spec.effects == ()
    model = installation.default
    added = CostModel().seconds(spec, model) - CostModel().seconds(resolved().spec, model)
    size = model.sizes[spec.resolution, spec.aspect]
    assert added == pytest.approx(0.5 * size.width * size.height / 1e6 * spec.total_frames)


def commands(*named):
    return f"""
    from dataclasses import replace
    from commands.context import Command
    from commands.handlers import generate
    from commands.options import PROMPT

    def commands(options):
        needed = [replace(options.by_name[name], required=True) for name in {named}]
        yield Command(
            name="tint", handler=generate.requiring(*{named}), options=(PROMPT, *needed),
            renders=True, texts={{"en": "Tints a clip."}},
        )
"""


@pytest.mark.process
@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("needed", "folder", "example"),
    [
        ((), "/", "/tint a red ball bouncing in the snow"),
        (("copy",), "/", "/tint a red ball bouncing in the snow --copy image.png"),
        (("copy",), None, "/tint a red ball bouncing in the snow"),
    ],
)
async def test_a_command_without_words_shows_how_it_is_used_itself(
    needed, folder, example, painted, config_of
):
    packages.make(
        painted, "rushes_tint", commands(*needed), commands={"tint": "commands"}, version="1.0"
    )
    async with open_app(config_of()) as app:
        call = call_of(app)
        call = replace(call, channel=replace(call.channel, local_folder=folder))
        said = plain(await execute("/tint", call))
        assert said == f"Describe the clip, for example: {example}"


@pytest.mark.process
async def test_help_says_what_the_options_of_effects_are_when_nothing_is_set(painted, config_of):
    async with open_app(config_of()) as app:
        call = call_of(app)
        told = plain(await execute("/rushes help generate", call)).splitlines()
        [trouble] = [line for line in told if "--paint-trouble" in line]
        assert trouble.endswith("default none")
        await execute("/rushes settings set default.paint-trouble keep", call)
        told = plain(await execute("/rushes help generate", call)).splitlines()
        [trouble] = [line for line in told if "--paint-trouble" in line]
        assert trouble.endswith("default keep")


@pytest.mark.process
def test_a_preset_or_default_may_hold_what_an_effect_takes_beside_its_switch(painted, config_of):
    installation = factories.describe_installation(config_of())
    kept = {"paint-trouble": "keep"}
    check_options(kept, installation)
    check_options({"paint-trouble": "keep", "frames": 49}, installation)
    with pytest.raises(UserError, match="value"):
        check_options({"paint-trouble": "keep", "frames": 49, "paint": 999}, installation)

    def resolved(**values):
        layers = [
            Layer(name=FROM_PRESET, values=kept),
            Layer(name=COMMAND, values=values, asked=True),
        ]
        return resolve("a fox", layers, installation).spec.effects

    assert resolved() == ()
    assert resolved(paint=9)[0].values == {"paint": 9, "paint-trouble": "keep"}


def address_of(colour):
    """A picture of one colour as a `data:` address."""
    file = io.BytesIO()
    Image.new("RGB", (300, 300), colour).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@pytest.mark.process
async def test_pictures_of_effects_are_taken_over_http_wherever_they_are_offered(painted, tmp_path):
    from tests.scenario.test_http_mcp import over_http  # takes long to import

    blue, green = (10, 20, 250), (20, 250, 10)
    address = address_of(blue)
    taken = {"prompt": "a fox", "rushes": {"copy": address, **SMALL}}
    async with serving(http_config(tmp_path / "data")) as house:
        token = house.token()
        async with house.session(token) as session:
            async with session.get("/openapi.json") as answer:
                schemas = (await answer.json())["components"]["schemas"]
            offered = {
                name
                for name, schema in schemas.items()
                for ways in [schema.get("properties", {}).get("rushes", {}).get("anyOf", [])]
                if {"$ref": "#/components/schemas/Options"} in ways
            }
            assert "copy" in schemas["Options"]["properties"]
            offered -= {
                "CreateForm",  # the same with files
            }
            async with session.post("/v1/videos", json=taken) as answer:
                video = await answer.json()
            assert (await http_ended(session, video["id"]))["status"] == "completed"
            edits, remix = "/v1/videos/edits", f"/v1/videos/{video['id']}/remix"
            colours = {}
            for name, path, rushes in (
                ("edited", edits, {"copy": address_of(green)}),
                ("edited without", edits, {"copy": None}),
                ("remixed", remix, {"copy": address_of(green)}),
                ("remixed without", remix, {}),
            ):
                body = {"video": {"id": video["id"]}} if path == edits else {}
                asked = {"prompt": "a", "rushes": rushes, **body}
                async with session.post(path, json=asked) as answer:
                    changed = await answer.json()
                assert (await http_ended(session, changed["id"]))["status"] == "completed"
                async with session.get(f"/v1/videos/{changed['id']}/content") as answer:
                    file = tmp_path / f"{name}.mp4"
                    file.write_bytes(await answer.read())
                colours[name] = frames_of(file)[0, 100, 300]
            asked = {"prompt": "a", "rushes": {"copy": address_of(green)}}
            async with session.post("/v1/images/generations", json=asked) as answer:
                [still] = (await answer.json())["data"]
            with Image.open(io.BytesIO(base64.b64decode(still["b64_json"]))) as opened:
                colours["still"] = np.array(opened.convert("RGB").getpixel((300, 100)))
            refused = {}
            for path, body in ((edits, {"video": {"id": video["id"]}}), (remix, {})):
                asked = {"prompt": "a", "rushes": {"copy": "/etc/hosts"}, **body}
                async with session.post(path, json=asked) as answer:
                    refused[path] = (await answer.json())["error"]["param"]
        async with over_http(house, token) as client:
            [tool] = [tool for tool in (await client.list_tools()).tools if tool.name == "generate"]
            made = await client.call_tool("generate", {"prompt": "a", "copy": address, **SMALL})
            wrong = await client.call_tool("generate", {"prompt": "a", "copy": "/etc/hosts"})
        jobs = house.app.services.jobs
        job = await jobs.get(made.structured_content["video"]["id"], tenant="terminal:api")
    assert offered == {"CreateRequest", "EditRequest", "RemixRequest", "ImageRequest"}
    for name, colour in colours.items():
        kept = name.endswith("without")
        assert np.abs(colour.astype(int) - (blue if kept else green)).max() < 20, (name, colour)
    assert set(refused.values()) == {"rushes.copy"}
    assert tool.input_schema["properties"]["copy"]["description"].startswith("A. (over HTTP")
    assert [use.name for use in job.spec.effects] == ["copy"]
    error = wrong.structured_content["error"]
    assert (error["code"], error["param"]) == ("http.picture", "copy")


@pytest.mark.process
async def test_a_form_takes_pictures_as_addresses_and_options_with_a_hyphen(painted, tmp_path):
    """OpenAI's client sends `extra_body` as a form."""
    noise = np.random.default_rng(1).integers(0, 256, (300, 300, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    address = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    assert len(address) > MAX_TEXT
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("prompt", "a fox")
    asked = {"copy": address, "paint": 9, "paint-trouble": "keep", **SMALL}
    for name, value in asked.items():
        form.add_field(f"rushes[{name}]", str(value))
    async with (
        serving(http_config(tmp_path / "data")) as house,
        house.session(house.token()) as session,
    ):
        async with session.post("/v1/videos", data=form) as answer:
            video = await answer.json()
        assert answer.status == 200, video
        long = aiohttp.FormData({"prompt": "a" * (MAX_TEXT + 1)}, default_to_multipart=True)
        async with session.post("/v1/videos", data=long) as answer:
            assert (await answer.json())["error"]["code"] == "http.field_large"
        assert (await http_ended(session, video["id"]))["status"] == "completed"
    assert video["rushes"]["paint-trouble"] == "keep"


async def ended(app, call, job_id):
    async with asyncio.timeout(180):
        while not (job := await app.services.jobs.get(job_id, tenant="terminal:t")).ended:  # noqa: ASYNC110 - a condition, not luck
            await asyncio.sleep(0.05)
    return job


def call_of(app):
    return app.services.call(
        caller=Caller(id="ada", name="ada"),
        channel=Channel(
            platform="terminal",
            tenant="terminal:t",
            id="t",
            address={"guild": "t", "directory": "/"},
        ),
        locale="en",
        key=None,
    )


@pytest.mark.process
async def test_after_an_uninstall_jobs_and_presets_stay_readable_and_buttons_say_what_is_missing(
    painted, config_of, tmp_path
):
    async with open_app(config_of()) as app:
        call = call_of(app)
        card = await execute("/generate a red fox --paint 200 --frames 49 --res 360p", call)
        job = await ended(app, call, card.job)
        assert job.failure is None
        assert "· paint 200 ·" in plain(card)
        made = await execute("/rushes preset save warm --paint 120 --res 360p", call)
        assert "--paint 120" in plain(made)
    [clip] = (tmp_path / "data").rglob("jobs/*/*/clip.mp4")
    [named] = read_recipe(clip)["effects"]
    assert (named["name"], named["package"], named["version"]) == ("paint", "rushes_paint", "1.0")
    assert named["values"]["paint"] == 200
    again = Spec.from_dict({"refine": False, **read_recipe(clip)})
    assert write_flags(again).options["paint"] == 200

    for gone in list(painted.iterdir()):
        shutil.move(gone, tmp_path / gone.name)
    sys.modules.pop("rushes_paint", None)
    invalidate_caches()
    async with open_app(config_of()) as app:
        call = call_of(app)
        assert "a red fox" in plain(await execute(f"/rushes show {job.id}", call))
        assert "--resolution 360p --paint" in plain(await execute("/rushes preset list", call))
        used = plain(await execute("/rushes preset use warm", call))
        assert "no model or plugin here has it now: --paint" in used
        for action in (Action.REROLL, Action.EDIT, Action.LARGER):
            said = plain(await press(ButtonId(action=action, job=job.id).encode(), call))
            assert "effect paint of the plugin rushes_paint, which is not installed" in said
        info = plain(await press(ButtonId(action=Action.INFO, job=job.id).encode(), call))
        assert "paint: rushes_paint 1.0 (plugin)" in info

    packages.make(
        painted,
        "rushes_paint",
        PAINT.replace("highest=255", "highest=150"),
        version="2.0",
        effects={"paint": "PAINT", "copy": "COPY"},
    )
    invalidate_caches()
    async with open_app(config_of()) as app:
        call = call_of(app)
        said = plain(await press(ButtonId(action=Action.REROLL, job=job.id).encode(), call))
        assert "--paint must be from 0 to 150, not 200" in said
        card = await execute("/generate a hen --preset warm --frames 1", call)
        made = await ended(app, call, card.job)
        assert made.failure is None
        assert made.spec.effects[0].values["paint"] == 120
        assert made.spec.effects[0].version == "2.0"

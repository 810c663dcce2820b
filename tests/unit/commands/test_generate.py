from __future__ import annotations

from dataclasses import replace

import pytest

from bot.terminal.platform import TerminalImages
from commands.caller import Caller
from commands.run import execute, invoke, press
from commands.text.card import CardKind
from inference.domain.errors import UserError
from inference.domain.reference import Attached
from inference.domain.spec import Resolution
from inference.media.results import ImageLimits
from inference.workers.media.process import MediaProcess
from tests.fakes.commands import COMMANDS, with_pictures
from tests.fakes.readable import plain

BOB = Caller(id="u2", name="bob")


def command(typed):
    return COMMANDS[typed]


async def test_a_typed_line_becomes_a_job_and_its_card(call, jobs):
    card = await execute("/generate a red fox --ar 9:16 --seed 7", replace(call, key="k1"))
    assert plain(card).split("\n") == [
        "🎬 a red fox  @ada",
        "720p · 9:16 · 97 frames (4.0 s) · motion fair · seed 7",
        "next in queue · starts in about 1 s, ready about 14:14",
    ]
    assert (card.private, card.job) == (False, "JOB0000001")
    (order,) = jobs.orders
    assert (order.tenant, order.requester.id, order.key) == ("test:g1", "u1", "k1")
    assert order.address == {"channel": 7}
    assert order.origins["aspect"] == "typed"


async def test_a_form_and_its_prompt_are_read_together(call, jobs):
    options = {"prompt": "a fox --seed 7", "aspect": "1:1", "image": "https://cdn/fox.png"}
    await invoke(command("/generate"), replace(call, options=options))
    spec = jobs.orders[0].spec
    assert (spec.prompt, spec.seed, spec.aspect) == ("a fox", 7, "1:1")
    assert spec.image == Attached("https://cdn/fox.png")


async def test_settings_of_the_guild_are_followed(call, jobs):
    admin = replace(call, caller=replace(BOB, admin=True))
    await execute("/rushes-admin settings set default.aspect 1:1", admin)
    await execute("/generate a fox", call)
    assert jobs.orders[0].spec.aspect == "1:1"
    assert jobs.orders[0].origins["aspect"] == "guild"


async def test_the_same_request_twice_is_one_job(call, jobs):
    keyed = replace(call, key="k1")
    first = await execute("/generate a fox", keyed)
    assert (await execute("/generate a fox", keyed)).job == first.job
    assert len(jobs.orders) == 1


def with_memory_for(call, code, **largest):
    def check(spec):
        given = {"resolution": "720p", "count": spec.frames, "needed": 31, "there": 24}
        raise UserError(code, **given, **largest)

    return replace(call, installation=replace(call.installation, check=check))


async def test_what_the_machine_cannot_render_is_never_accepted(call, jobs):
    small = with_memory_for(call, "memory.too_small")
    card = await execute("/generate a fox --frames 113", small)
    assert plain(card).startswith("This does not fit the GPU: 720p with 113 frames needs about")
    assert (card.private, jobs.orders) == (True, [])


@pytest.mark.parametrize(
    ("code", "largest", "made"),
    [
        ("memory.too_long", {"longest": 81}, ("720p", 81)),
        ("memory.too_large", {"longest": 97, "smaller": Resolution.P360}, ("360p", 97)),
    ],
)
async def test_the_largest_that_fits_waits_for_a_word(call, jobs, code, largest, made):
    await execute("/generate a fox --frames 113", with_memory_for(call, code, **largest))
    [order] = jobs.orders
    assert (order.spec.resolution, order.spec.frames) == made
    assert order.origins["frames"] == "memory"
    assert order.review


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/generate a fox --style photo.png", "no installed plugin has styles"),
        ("/style a fox", "pip install ./examples/plugins/style"),
        ("/generate a fox --seconds 3", "Use --frames; /rushes help generate explains it."),
        ("/image a fox --size 720p", "Use --resolution; /rushes help image explains it."),
        ("/generate a fox --guidance 3", "Use --cfg"),
        ("/generate a fox --aspect-ratio 1:1", "Did you mean --aspect?"),
        ("/rushes extend", "It is a button below the finished clip"),
        ("/extend 7Q2FK9XDAB", "It is a button below the finished clip"),
        ("/rushes models", "Use /rushes settings default.model"),
        ("/rushes settings models nano", "Did you mean default.model?"),
    ],
)
async def test_words_of_other_tools_and_of_plugins_lead_to_what_there_is(call, jobs, line, said):
    assert said in plain(await execute(line, call))
    assert jobs.orders == []


async def test_image_makes_a_still(call, jobs):
    card = await execute("/image a fox", call)
    assert jobs.orders[0].spec.frames == 1
    assert jobs.orders[0].origins["frames"] == "command"
    assert "720p · 16:9 · image" in plain(card)


async def test_animate_takes_the_attached_image(call, jobs):
    options = {"image": "https://cdn/fox.png"}
    await execute("/animate it runs", replace(call, options=options))
    assert jobs.orders[0].spec.mode == "i2v"


@pytest.mark.parametrize("line", ["/generate it runs --image", "/animate it runs --image"])
async def test_an_address_as_a_file_of_a_terminal_is_told_as_one(call, jobs, tmp_path, line):
    local = with_pictures(call, tmp_path)
    images = TerminalImages(ImageLimits())
    local = replace(local, check_picture=images.make_check(MediaProcess()))
    card = await execute(f"{line} https://a.example/x.png", local)
    assert "Save https://a.example/x.png as a file first" in plain(card)
    assert jobs.orders == []


async def test_a_terminal_may_name_a_file_that_is_there(call, jobs, tmp_path):
    local = with_pictures(call, tmp_path, "pictures/fox.png")
    missing = await execute("/animate it runs --image pictures/fax.png", local)
    assert "There is no image at" in plain(missing)
    assert jobs.orders == []
    await execute("/animate it runs --image pictures/fox.png", local)
    assert jobs.orders[0].spec.image == Attached("pictures/fox.png")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/generate", "Describe the clip, for example: /generate a red ball bouncing in the snow"),
        ("/generate a fox --sed 7", "There is no option --sed. Did you mean --seed?"),
        (
            "/generate a fox --ar wide",
            "--aspect cannot be “wide”. Choose 16:9, 9:16, 4:3, 3:4 or 1:1.",
        ),
        (
            "/generate a fox --model nano --frames 97",
            "Nano does not support --frames 97. Choose 65 frames.",
        ),
        ("/image a fox --frames 49", "/image sets --frames itself. Use /generate to choose it."),
        (
            "/animate it runs",
            (
                "/animate needs an image. Add one, and say what should happen with it.\n"
                "Without an image, use /generate."
            ),
        ),
        (
            "/animate it runs --image /etc/passwd",
            "Attach the image to the command. --image works in the terminal only.",
        ),
        ("/generatte a fox", "There is no command /generatte. Did you mean /generate?"),
        ("/queue", "There is no command /queue. Did you mean /rushes queue?"),
        ("/rushes quue", "There is no command /rushes quue. Did you mean /rushes queue?"),
        ("/rushes set", "There is no command /rushes set. Did you mean /rushes settings?"),
        ("/rushes destroy", "There is no command /rushes destroy. /rushes help lists them all."),
        ("/rushes pause", "There is no command /rushes pause. Did you mean /rushes-admin pause?"),
        ("/rushes generate a", "There is no command /rushes generate. Did you mean /generate?"),
        (
            "/rushes-admin hlep",
            "There is no command /rushes-admin hlep. Did you mean /rushes-admin help?",
        ),
        ("/xyzzy", "There is no command /xyzzy. /rushes help lists them all."),
        (
            "a red fox",
            "Start with a command, such as: /generate a red ball bouncing in the snow",
        ),
        ("", "Start with a command, such as: /generate a red ball bouncing in the snow"),
        (
            "/rushes status NOSUCHJOB",
            "There is no job NOSUCHJOB here. /rushes queue lists the waiting jobs.",
        ),
        ("/rushes status", "You have no jobs here yet. /generate makes one."),
        ("/rushes cancel", "You have no waiting job to cancel."),
        (
            "/rushes-admin drain",
            "/rushes-admin drain is for the operator of Rushes: it changes things for everyone.",
        ),
        ("/rushes help xyzzy", "There is no command xyzzy. /rushes help lists them all."),
        ("/rushes help generatte", "There is no command generatte. Did you mean /generate?"),
    ],
)
@pytest.mark.cases(6)
async def test_what_does_not_work_is_said_privately(call, jobs, line, sentence):
    card = await execute(line, call)
    assert plain(card) == sentence
    assert (card.kind, card.private, card.ping) == (CardKind.ERROR, True, False)
    assert jobs.orders == []


async def test_the_same_option_in_form_and_prompt_is_refused(call):
    options = {"prompt": "a fox --seed 7", "seed": 8}
    card = await invoke(command("/generate"), replace(call, options=options))
    assert plain(card) == "--seed is given twice. Keep one of them."


async def test_a_full_line_says_so(call, jobs):
    jobs.limit = 1
    await execute("/generate a fox", call)
    assert "The queue here is full: 1 job waiting" in plain(await execute("/generate a fox", call))


async def test_an_order_is_data_and_the_outbox_posts_only_its_card(call, jobs):
    accepted = await command("/generate").handler(replace(call, text="a fox", locale="ko"))
    assert (accepted.job.id, accepted.locale) == ("JOB0000001", "ko")
    assert accepted.status.queued.position == 1

    card = await execute("/generate a fox", call)
    assert card.from_outbox
    for text in ("/rushes status", "/rushes queue", "/generate", "/rushes show", "/nonsense"):
        assert not (await execute(text, call)).from_outbox, text
    assert not (await press(f"v1:info:{card.job}", call)).from_outbox
    assert (await press(f"v1:reroll:{card.job}", call)).from_outbox


async def test_a_refused_order_raises_the_code_of_its_error(call, jobs):
    jobs.draining = True
    with pytest.raises(UserError) as raised:
        await command("/generate").handler(replace(call, text="a fox"))
    assert raised.value.code == "queue.draining"

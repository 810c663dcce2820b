from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from commands.caller import Caller
from commands.handlers.settings_texts import LIST_LENGTH
from commands.installation import Installation
from commands.policy.blocks import Block, BlockStore
from commands.policy.settings import Scope
from commands.policy.settings_store import Change, SettingsStore
from commands.policy.settings_values import find_setting, read_setting, restore_setting
from commands.policy.stores import TABLES
from commands.run import execute, invoke, press
from commands.text.card import CardKind, plain
from commands.text.messages import error_text
from inference.domain.capabilities import Numbers
from inference.domain.errors import UserError
from inference.domain.job import Requester
from inference.store.sqlite.database import open_database
from tests.fakes.commands import COMMANDS
from tests.fakes.mentions import MentionDirectory
from tests.fakes.options import SETTINGS

ANN = Requester(id="ann", name="Ann")
TWELVE_STEPS = Change(scope=Scope.GUILD, setting=SETTINGS.by_key["default.steps"], value=12)


@pytest.fixture
def admin(call):
    return replace(call, caller=Caller(id="boss", name="Boss", admin=True))


async def say(call, line):
    return plain(await execute(line, call))


@pytest.mark.parametrize(
    ("key", "typed", "value"),
    [
        ("default.aspect", "9 : 16".replace(" ", ""), "9:16"),
        ("default.ar", "1:1", "1:1"),
        ("AR", "1:1", "1:1"),
        ("no", "blurry", "blurry"),
        ("resolution", "360p", "360p"),
        ("res", "360p", "360p"),
        ("default.camera", "Pan-Left", "pan left"),
        ("default.frames", "49", 49),
        ("default.cfg", "6.5", 6.5),
        ("default.refine", "off", False),
        ("default.model", "NANO", "nano"),
        ("cap.res", "360p", "360p"),
        ("cap.res.except", "editors, staff", ["editors", "staff"]),
        ("channels", "<#123> #film film", ["123", "film"]),
        ("roles", "<@&77>, @edit", ["77", "edit"]),
        ("buttons", "Requester", "requester"),
        ("recipe.prompt", "NO", False),
        ("watermark.corner", "top left", "top-left"),
        ("watermark.suffix", "film team", "film team"),
        ("watermark.suffix", "영화 팀", "영화 팀"),
        ("timezone", "Asia/Seoul", "Asia/Seoul"),
        ("quota.user", "600", 600),
        ("quota.roles", "editors = 600, staff=unlimited", {"editors": 600, "staff": None}),
        ("quota.people", "<@42>=0", {"42": 0}),
        ("quota.user", "10m", 600),
        ("quota.user", "1시간 30분", 5400),
        ("quota.guild", "1.5 hours", 5400),
        ("quota.guild", "1.1h", 3960),
        ("quota.guild", "2.2 hours 0.1 s", 7921),
        ("quota.people", "bob=10m", {"bob": 600}),
        ("quota.people", "bob 10 min", {"bob": 600}),
        ("quota.people", "bob: 600", {"bob": 600}),
        ("quota.people", "bob:600", {"bob": 600}),
        ("quota.people", '"bob=600"', {"bob": 600}),
        (
            "quota.people",
            "bob=1h 30m ann=2 hours, <@7>=unlimited",
            {"bob": 5400, "ann": 7200, "7": None},
        ),
        ("quota.people", "밥=10분, 앤=무제한", {"밥": 600, "앤": None}),
        ("quota.roles", "editors=1D", {"editors": 86400}),
    ],
)
def test_a_legal_value_is_kept_as_it_is_meant(installation, key, typed, value):
    setting = find_setting(key, SETTINGS)
    plain_id = MentionDirectory().plain_id
    assert read_setting(setting, typed, installation, plain_id=plain_id) == value
    assert restore_setting(setting, value) is not None


@pytest.mark.parametrize("typed", ["0", "150", "500"])
def test_a_number_that_the_model_always_uses_is_said(small, typed):
    model = replace(small, steps=Numbers.fixed(8))
    installation = Installation(models=(model,), default_model=model.name)
    setting = SETTINGS.by_key["default.steps"]
    with pytest.raises(UserError) as caught:
        read_setting(setting, typed, installation)
    assert f"Nano always uses --steps 8, not {typed}." in error_text(caught.value, "en")
    assert read_setting(setting, "8", installation) == 8


@pytest.mark.parametrize(
    ("key", "typed", "sentence"),
    [
        ("default.aspect", "wide", "default.aspect cannot be “wide”."),
        ("default.steps", "0", "default.steps must be from 1 to 200, not 0."),
        ("default.model", "dalle", "There is no model “dalle” here."),
        ("default.refine", "maybe", "default.refine must be on or off, not “maybe”."),
        ("channels", ", ,", "channels needs a value after it."),
        ("channels", ",".join(map(str, range(26))), "channels takes 25 names at most."),
        ("roles", "x" * 65, "is too long. A name has 64 characters at most."),
        ("timezone", "Seoul", "There is no time zone “Seoul”."),
        ("timezone", "../../etc/passwd", "There is no time zone “../../etc/passwd”."),
        ("timezone", "/etc/passwd", "There is no time zone “/etc/passwd”."),
        ("quota.user", "-1", "quota.user must be from 0 to 10000000, not -1."),
        ("quota.roles", "editors", "quota.roles takes names with amounts, not “editors”."),
        ("quota.people", "-1", "quota.people takes names with amounts, not “-1”."),
        (
            "quota.roles",
            "editors=lots",
            "quota.roles cannot be “lots”. Write GPU time a day in seconds",
        ),
        ("quota.roles", "=5", "Write it like editors=2h"),
        (
            "quota.people",
            "bob=ten",
            "Write GPU time a day in seconds, minutes or hours: 600, 10m, 2h or unlimited.",
        ),
        ("quota.people", "bob=10:00", "quota.people cannot be “10:00”."),
        ("quota.people", "bob=1.5", "quota.people cannot be “1.5”."),
        ("quota.people", "bob=-5", "quota.people must be from 0 to 10000000, not -5."),
        ("quota.people", "bob=900d", "quota.people must be from 0 to 10000000, not 77760000."),
        ("quota.people", "bob=", "quota.people takes names with amounts, not “bob”."),
        ("quota.people", "600", "quota.people takes names with amounts, not “600”."),
        ("quota.people", "Bob Smith=600", "Mention a name that has spaces."),
        ("quota.user", "ten", "quota.user cannot be “ten”. Write GPU time a day"),
        (
            "quota.guild",
            "unlimited",
            "To take the limit away: /rushes-admin settings reset quota.guild",
        ),
        ("watermark.suffix", "映画", "has characters that the watermark cannot draw."),
        ("watermark.suffix", "x" * 21, "has 21 characters. The limit is 20."),
    ],
)
def test_what_is_not_legal_is_refused_with_a_sentence(installation, key, typed, sentence):
    with pytest.raises(UserError) as refusal:
        read_setting(find_setting(key, SETTINGS), typed, installation)
    assert sentence in error_text(refusal.value, "en")


@pytest.mark.parametrize("setting", SETTINGS.by_key.values(), ids=lambda setting: setting.key)
def test_every_default_of_a_setting_is_legal(setting, installation):
    assert setting.default is None or restore_setting(setting, setting.default) is not None
    assert find_setting(setting.key, SETTINGS) is setting


async def test_the_stronger_scope_wins_and_info_tells_which_it_was(call, admin, jobs):
    here = replace(call, channel=replace(call.channel, id="film"))
    await say(admin, "/rushes-admin settings set default.aspect 1:1")
    await say(call, "/generate a")
    admin_here = replace(admin, channel=here.channel)
    await say(admin_here, "/rushes-admin settings set default.aspect 4:3 --channel")
    await say(here, "/generate b")
    await say(call, "/generate c")
    await say(here, "/rushes settings set default.aspect 3:4")
    await say(here, "/generate d")
    await say(here, "/generate e --ar 9:16")
    found = [(order.spec.aspect, order.origins["aspect"]) for order in jobs.orders]
    assert found == [
        ("1:1", "guild"),
        ("4:3", "channel"),
        ("1:1", "guild"),
        ("3:4", "user"),
        ("9:16", "typed"),
    ]


async def test_a_change_holds_at_once_for_everybody(call, admin, jobs):
    for number in range(3):
        for steps in ("10", "20"):
            await say(admin, f"/rushes-admin settings set default.steps {steps}")
            jobs.limit += 1
            await say(call, f"/generate fox {number}")
            assert jobs.orders[-1].spec.steps == int(steps)
    await say(admin, "/rushes-admin settings reset default.steps")
    jobs.limit += 1
    await say(call, "/generate owl")
    assert jobs.orders[-1].origins["steps"] == "model"


async def test_settings_survive_a_restart_and_nonsense_from_elsewhere_is_left_out(
    tmp_path, call, log
):
    path = tmp_path / "kept.sqlite3"
    async with open_database(path, TABLES) as database:
        await SettingsStore(database, call.clock, SETTINGS).change("t", [TWELVE_STEPS], ANN)

        async def spoil(connection):
            await connection.execute(
                "INSERT INTO settings (tenant, scope, subject, key, value) VALUES"
                " ('t', 'guild', '', 'default.aspect', '\"21:9\"'),"
                " ('t', 'guild', '', 'default.colour', '1'),"
                " ('t', 'guild', '', 'timezone', '\"Mars/Olympus\"')"
            )

        await database.write("spoil", spoil)
    async with open_database(path, TABLES) as database:
        rules = await SettingsStore(database, call.clock, SETTINGS).rules(
            "t", channel="", person=""
        )
    assert rules.guild == {"default.steps": 12}
    ignored = [entry["key"] for entry in log if entry["event"] == "setting.ignored"]
    assert ignored == ["default.aspect", "default.colour", "timezone"]
    log.clear()


class HeldReads:
    """A database whose readers have their rows but do not get them yet."""

    def __init__(self, database):
        self._database = database
        self.write = database.write
        self.reading = asyncio.Event()
        self.released = asyncio.Event()

    async def read(self, sql, parameters=()):
        rows = await self._database.read(sql, parameters)
        self.reading.set()
        await self.released.wait()
        return rows


async def steps(settings):
    return (await settings.rules("t", channel="", person="")).guild.get("default.steps")


async def test_what_was_read_before_a_change_is_not_remembered_after_it(tmp_path, call):
    async with open_database(tmp_path / "kept.sqlite3", TABLES) as database:
        held = HeldReads(database)
        settings = SettingsStore(held, call.clock, SETTINGS)
        early = asyncio.create_task(steps(settings))
        await held.reading.wait()
        await settings.change("t", [TWELVE_STEPS], ANN)
        held.released.set()
        assert await early is None
        assert await steps(settings) == 12


async def test_a_caller_that_goes_away_leaves_no_stale_answer_behind(tmp_path, call):
    async with open_database(tmp_path / "kept.sqlite3", TABLES) as database:
        settings = SettingsStore(database, call.clock, SETTINGS)
        released = asyncio.Event()
        holding = asyncio.create_task(database.write("hold", lambda _: released.wait()))
        changing = asyncio.create_task(settings.change("t", [TWELVE_STEPS], ANN))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        changing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await changing
        assert await steps(settings) is None
        released.set()
        await holding
        # Written after the abandoned change, so that one is written now too.
        await BlockStore(database, call.clock).put("t", Block(person="u9"), ANN)
        assert await steps(settings) == 12


async def test_who_changed_what_can_be_read_by_admins_only(call, admin):
    await say(admin, "/rushes-admin settings set buttons requester")
    await say(admin, "/rushes-admin settings set buttons admins")
    await say(admin, "/rushes-admin settings reset buttons")
    await say(admin, "/rushes-admin settings reset buttons")  # changes nothing, says nothing
    await say(admin, "/rushes-admin block u9 spam")
    await say(call, "/rushes settings set default.steps 9")  # nobody else's business
    assert (await say(admin, "/rushes-admin settings log")).split("\n") == [
        "Change log (times in UTC)",
        "2026-09-21 14:13 · Boss · block u9: not set → spam",
        "2026-09-21 14:13 · Boss · buttons: admins → not set",
        "2026-09-21 14:13 · Boss · buttons: requester → admins",
        "2026-09-21 14:13 · Boss · buttons: not set → requester",
    ]
    assert (await execute("/rushes-admin settings log", call)).kind is CardKind.ERROR


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/rushes settings set", "Something is missing. Write /rushes settings set <key> <value>"),
        ("/rushes settings reset", "Something is missing. Write /rushes settings reset <key>"),
        (
            "/rushes settings set default.step 5",
            "There is no setting default.step. Did you mean default.steps?",
        ),
        ("/rushes settings set xyzzy 5", "There is no setting xyzzy."),
        ("/rushes settings set buttons everyone", "Only an admin can set buttons:"),
        ("/rushes settings burn", "action cannot be “burn”."),
        ("/rushes settings log", "action cannot be “log”."),
        ("/rushes settings --loud", "There is no option --loud."),
        ("/rushes-admin settings set timezone UTC --channel", "There are no channels here."),
    ],
)
async def test_settings_that_cannot_be_made_are_refused(admin, line, sentence):
    assert (await say(admin, line)).startswith(sentence)


async def test_some_settings_are_for_the_whole_guild(admin):
    here = replace(admin, channel=replace(admin.channel, id="film"))
    answer = await say(here, "/rushes-admin settings set timezone UTC --channel")
    assert answer == "timezone applies to all channels. Leave --channel out."


async def test_a_form_sets_what_a_line_sets(admin, call, jobs):
    command = COMMANDS["/rushes-admin settings"]
    options = {"action": "set", "key": "default.aspect", "value": "1:1"}
    await invoke(command, replace(admin, options=options))
    await say(call, "/generate a fox")
    assert jobs.orders[0].spec.aspect == "1:1"


async def test_settings_are_listed_and_explained(call, admin):
    await say(admin, "/rushes-admin settings set default.steps 12")
    await say(call, "/rushes settings set default.aspect 9:16")
    listed = (await say(call, "/rushes settings")).split("\n")
    assert listed[:3] == [
        "Your settings here",
        "[ Defaults ]",
        "default.resolution  Resolution: higher takes longer",
    ]
    assert "default.aspect: 9:16 (yours)  Width to height; 16:9 is landscape" in listed
    assert "default.steps: 12 (set here)  More steps: finer detail" in "\n".join(listed)
    assert "for example: /rushes settings set default.aspect 9:16" in listed[-1]
    assert "9:16 (yours)" not in await say(admin, "/rushes-admin settings")
    assert (await say(call, "/rushes settings show cap.res")).split("\n") == [
        "cap.resolution",
        "Highest resolution that everyone can use",
        "Values: 360p or 720p",
        "Now: not set",
        "Example: /rushes-admin settings set cap.resolution 360p",
    ]
    for setting in SETTINGS.by_key.values():
        assert setting.key in await say(call, f"/rushes settings show {setting.key}")


@pytest.mark.parametrize("line", ["set default.steps", "show default.steps", "default.steps"])
async def test_a_key_alone_is_explained(call, admin, line):
    def now(card):
        return card.split("\n")[3]

    assert (await say(call, f"/rushes settings {line}")).split("\n") == [
        "default.steps",
        "More steps: finer detail, longer wait",
        "Values: 1 to 200",
        "Now: 30 (model default)",
        "Example: /rushes settings set default.steps 15",
        "For one job: --steps 15",
    ]
    here = replace(call, channel=replace(call.channel, id="film"))
    admin_here = replace(admin, channel=here.channel)
    await say(admin, "/rushes-admin settings set default.steps 12")
    assert now(await say(here, f"/rushes settings {line}")) == "Now: 12 (set here)"
    await say(admin_here, "/rushes-admin settings set default.steps 13 --channel")
    assert now(await say(here, f"/rushes settings {line}")) == "Now: 13 (set for this channel)"
    await say(here, "/rushes settings default.steps 14")  # sets it without the word too
    assert now(await say(here, f"/rushes settings {line}")) == "Now: 14 (yours)"
    model = now(await say(call, "/rushes settings default.model"))
    assert model.endswith("(installation default)")


@pytest.mark.parametrize("setting", SETTINGS.by_key.values(), ids=lambda setting: setting.key)
async def test_the_example_of_every_setting_can_be_typed(admin, setting):
    explained = (await say(admin, f"/rushes-admin settings {setting.key}")).split("\n")
    assert len(explained) == 5 + setting.key.startswith("default.")
    said = await execute(explained[4].removeprefix("Example: "), admin)
    # An assistant is needed for what it does, and there is none here.
    assert said.kind is CardKind.INFO or setting.key in {"review", "default.refine"}


@pytest.mark.parametrize("locale", ["en", "ko"])
async def test_all_settings_fit_one_card_whatever_is_set(admin, locale):
    asking = replace(admin, locale=locale)
    nothing = await execute("/rushes-admin settings", asking)
    assert len(plain(nothing)) < 2800
    for setting in SETTINGS.by_key.values():
        explained = await say(admin, f"/rushes-admin settings {setting.key}")
        await execute(explained.split("Example: ")[1].split("\n")[0], admin)
        for value in ("x" * 20, "x" * 300, "editors-and-directors, " * 20):
            await execute(f"/rushes-admin settings set {setting.key} {value}", admin)
    everything = plain(await execute("/rushes-admin settings", asking))
    assert len(everything) < LIST_LENGTH
    for setting in SETTINGS.by_key.values():
        assert setting.key in everything


@pytest.mark.parametrize(
    ("line", "mistyped"),
    [
        ("set default.stepz 9", "default.steps: 9 (yours)"),
        ("default.stepz 9", "default.steps: 9 (yours)"),
        ("show default.stepz", "Now: 30 (model default)"),
        ("default.stepz", "Now: 30 (model default)"),
    ],
)
async def test_a_mistyped_key_is_offered_as_a_button_that_goes_on(call, line, mistyped):
    card = await execute(f"/rushes settings {line}", call)
    assert "Did you mean default.steps?" in plain(card)
    assert [button.label for button in card.buttons] == ["default.steps"]
    answer = plain(await press(card.buttons[0].id, call))
    assert mistyped in answer + await say(call, "/rushes settings")


async def test_the_file_of_a_job_is_as_the_guild_wants_it(call, admin, jobs):
    for line in ("watermark.corner top-left", "watermark.suffix film", "recipe.prompt no"):
        await say(admin, f"/rushes-admin settings set {line}")
    await say(call, "/generate a fox")
    wanted = jobs.orders[0].output
    assert (wanted.corner, wanted.suffix, wanted.prompt_in_recipe) == ("top-left", "film", False)


@pytest.mark.parametrize(
    ("set_to", "locale", "spoken"),
    [(None, "ko_KR.UTF-8", "ko"), ("auto", "ko", "ko"), ("en", "ko", "en"), ("ko", "en", "ko")],
)
async def test_the_card_speaks_as_the_guild_wants_and_else_as_whoever_asks(
    call, admin, set_to, locale, spoken
):
    if set_to is not None:
        await say(admin, f"/rushes-admin settings set language {set_to}")
    asking = replace(call, locale=locale)
    card = await execute("/generate a fox", asking)
    assert call.jobs.orders[0].output.language == spoken
    assert ("프레임" in plain(card)) == (spoken == "ko")
    assert ("취소" in card.buttons[0].label) == (spoken == "ko")
    refused = await say(asking, "/generate a fox --frames x")
    assert ("정수" in refused) == locale.startswith("ko")


async def test_a_channel_may_speak_another_language_than_its_guild(call, admin, jobs):
    here = replace(admin, channel=replace(admin.channel, id="seoul"))
    await say(here, "/rushes-admin settings set language ko --channel")
    await say(replace(call, channel=here.channel), "/generate a fox")
    await say(call, "/generate a fox")
    assert [order.output.language for order in jobs.orders] == ["ko", "en"]


@pytest.mark.parametrize("junk", ["{", "[" * 100_000, '{"a": [1]}', "7"])
async def test_a_setting_that_cannot_be_read_is_nobodys_problem(tmp_path, clock, junk):
    from commands.policy.settings_store import SettingsStore

    async def write(connection):
        await connection.execute(
            "INSERT INTO settings VALUES ('guild:a', 'guild', '', 'language', ?)", (junk,)
        )
        await connection.execute(
            "INSERT INTO settings VALUES ('guild:a', 'universe', '', 'language', '\"ko\"')"
        )

    async with open_database(tmp_path / "junk.sqlite3", TABLES) as database:
        await database.write("junk", write)
        rules = await SettingsStore(database, clock, SETTINGS).rules(
            "guild:a", channel="c", person="p"
        )
        kept = await database.read("SELECT source FROM quarantine")
    assert "language" not in rules.guild
    assert {row["source"] for row in kept} == {"settings"}


def test_images_without_a_mark_can_be_chosen():
    assert SETTINGS.by_key["watermark.images"].default is True


@pytest.mark.parametrize("option", ["resolution", "aspect", "negative"])
async def test_an_option_is_typed_by_the_name_that_its_setting_has(call, jobs, option):
    explained = (await say(call, f"/rushes settings {option}")).split("\n")
    assert explained[0] == f"default.{option}"
    flag, value = explained[-1].removeprefix("For one job: ").split()
    value = value.strip('"')
    await say(call, f"/generate a fox {flag} {value}")
    await say(call, f"/generate an owl --{option} {value}")
    assert [order.spec.value(option) for order in jobs.orders] == [value, value]

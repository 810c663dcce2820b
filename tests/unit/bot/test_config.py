from __future__ import annotations

import contextlib
import json
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot import factories
from bot.config.location import find_location
from bot.config.sections import Config
from bot.config.sources import load_config
from bot.config.values import lenient
from bot.slack.inbound import modal_fields
from commands.catalog import built_in_commands
from commands.policy.legality import check_options
from commands.specs.layers import COMMAND, Layer
from commands.specs.resolve import resolve
from commands.text.messages import error_text
from inference.domain.errors import RushesError, UserError
from inference.domain.spec import Mode
from tests.unit.engines.test_memory import SPEC

DISCORD_LIKE = ".".join(("M" * 24, "abc_12", "x" * 38))
"""Of the shape of Discord's tokens."""


@pytest.fixture(autouse=True)
def empty_place(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("DISCORD_TOKEN", "SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def loaded(tmp_path, text: str | bytes) -> Config:
    path = tmp_path / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(path)


def refused(tmp_path, text: str | bytes) -> list[str]:
    with pytest.raises(RushesError) as caught:
        loaded(tmp_path, text)
    return error_text(caught.value, "en").splitlines()


def test_all_mistakes_are_told_at_once_each_with_its_line(tmp_path, monkeypatch):
    monkeypatch.setenv("RUSHES_RETENTION__FILES_DAYS", "-1")
    told = refused(
        tmp_path,
        "[queue]\nwaiting_per_guilds = 5\nwaiting_total = 'many'\n\n"
        "[log]\n# loud\nlevel = 'loud'\n\n[wattermark]\ntext = 'x'\n[models]\ndflt = 'nano'\n",
    )
    assert len(told) == 6
    text = "\n".join(told)
    assert "mine.toml:2: there is no setting queue.waiting_per_guilds" in text
    assert "waiting_per_guild" in text
    assert "mine.toml:3: queue.waiting_total is wrong" in text
    assert "mine.toml:7: log.level is wrong" in text
    assert "mine.toml:9: there is no setting wattermark. Possible: watermark" in text
    assert "mine.toml:12: there is no setting models.dflt" in text
    assert "RUSHES_RETENTION__FILES_DAYS: retention.files_days is wrong" in text


@pytest.mark.cases(8)
@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[models]\ndflt = 'nano'\n", ["mine.toml:2", "models.dflt", "default"]),
        ("[models.opensoar]\nattention_rows = 1\n", ["mine.toml:1", "models.opensoar", "opensora"]),
        (
            "[models.opensora]\nattention_row = 1\n",
            ["mine.toml:2", "models.opensora.attention_row", "attention_rows"],
        ),
        (  # an option of earlier versions
            "[models.opensora]\ncompile = true\n",
            ["mine.toml:2: there is no setting models.opensora.compile", "attention_rows"],
        ),
        ("[models.q]\nengine = 'testcrad'\n", ["mine.toml:2", "models.q.engine", "testcrad"]),
        ("[models.q]\nengine = 'q'\n", ["mine.toml:2", "models.q.engine", "no engine “q”"]),
        ("[models.q]\nengine = ['testcard']\n", ["mine.toml:2", "models.q.engine"]),
        ("[models.q]\nengine = {a = 1}\n", ["mine.toml:2", "models.q.engine"]),
        ("[models.nano]\nengine = 'testcard'\n", ["mine.toml:2", "models.nano.engine", "built-in"]),
        (
            "[models.wan]\nengine = 'diffusers'\npreset = 'wna'\n",
            ["mine.toml:3", "models.wan.preset", "wna", "wan-14b"],
        ),
        ("[models.wan]\nengine = 'diffusers'\n", ["mine.toml:1", "models.wan", "preset"]),
        ("[models.testcard]\nlengths = 'long'\n", ["mine.toml:2", "testcard.lengths", "[1, 49"]),
        ("[models.testcard]\nlengths = [true]\n", ["mine.toml:2", "testcard.lengths", "[1, 49"]),
        ("[models.testcard]\nlengths = [9999999]\n", ["mine.toml:2", "testcard.lengths"]),
        (
            "[models.testcard]\nlengths = {step = 1, shortest = 2, longest = 1000000000000}\n",
            ["mine.toml:2", "testcard.lengths", "100000"],
        ),
        (
            "[models.testcard]\nlengths = {step = 4, shortest = 5, longest = 9, stepp = 1}\n",
            ["mine.toml:2", "testcard.lengths.stepp", "Possible: step."],
        ),
        ("[workers]\ndevices = [" + "'cpu'," * 65 + "]\n", ["mine.toml:2", "workers.devices"]),
        ("[models.testcard]\nstep_seconds = -1\n", ["mine.toml:2", "testcard.step_seconds"]),
        ("[models.testcard]\nfail = 'explode'\n", ["mine.toml:2", "testcard.fail"]),
        ("[models.nano]\nspeed = 3\n", ["mine.toml:2", "models.nano.speed"]),
        ("[models]\nnano = 3\n", ["mine.toml", "models.nano", "table"]),
        ("[models]\ninstalled = ['nano', 'nano']\n", ["mine.toml:2", "nano is there twice"]),
        (
            "[models]\ninstalled = ['Foo', 'foo']\nFoo.engine='testcard'\nfoo.engine='testcard'\n",
            ["mine.toml:2", "Foo and foo differ only"],
        ),
        ("[models.wan]\nrevision = ''\n", ["mine.toml:2", "models.wan.revision", "commit"]),
        (
            "[models.wan]\nrevision_image = 'v1'\n",
            ["mine.toml:2", "models.wan.revision_image", "Remove revision_image"],
        ),
        ("[models]\ninstalled = ['sora']\n", ["mine.toml:2", "models.installed", "sora", "nano"]),
        ("[workers]\ndevices = 'gpu'\n", ["mine.toml:2", "workers.devices is", "gpu"]),
        ("[models]\ndefault = 'opensora'\n", ["mine.toml:2", "opensora", "nano"]),
        (
            "[discord]\nthread_minutes = 90\n",
            ["mine.toml:2", "discord.thread_minutes", "60, 1440, 4320 or 10080"],
        ),
        ("discord = 'abc'\n", ["mine.toml:1", "discord"]),
        ("[slack]\nbot_token = 'xapp-1-a'\n", ["slack", "xoxb-"]),
        ("[assistant]\nbase_url = 'localhost:11434'\n", ["mine.toml:2", "assistant.base_url"]),
        ("[discord]\ntoken = 'abc def'\n", ["mine.toml:2", "discord.token", "copy it anew"]),
        ('[discord]\ntoken = "ab\\u0000c"\n', ["mine.toml:2", "discord.token"]),
        ("[queue]\nweights = { 'discord:1' = -2 }\n", ["mine.toml:2", "weights"]),
        ('[queue]\n"waiting_total" = 0\n', ["mine.toml:2", "queue.waiting_total"]),
        ("queue.waiting_total = 0\n", ["mine.toml:1", "queue.waiting_total"]),
        ("[workers]\ndevices = 'cudda:0'\n", ["mine.toml:2", "workers.devices", "cudda:0", "cpu"]),
        ("[workers]\ndevices = []\n", ["mine.toml:2", "workers.devices", "at least one"]),
        ("[workers]\ndevices = ['auto', 'cpu']\n", ["mine.toml:2", "devices", "auto stands alone"]),
        ("[workers]\ndevices = ['cpu', 3]\n", ["mine.toml:2", "workers.devices", "text"]),
        ("[workers]\nexecutor = 'ray'\n", ["mine.toml:2", "workers.executor", "local"]),
        ("queue = 5\n", ["mine.toml:1", "queue is wrong", "[queue]", "table"]),
        ("[[queue]]\nwaiting_total = 5\n", ["mine.toml:1", "[queue]", "table"]),
        ("[models]\ninstalled = []\n", ["mine.toml:2", "models.installed", "at least one"]),
        ("[bot]\ndata_dir = ''\n", ["mine.toml:2", "bot.data_dir", "empty"]),
        ("[bot]\ndata_dir = 'a\\u0000b'\n".replace("'", '"'), ["mine.toml:2", "bot.data_dir"]),
        ("[models]\ndirectory = 'a\\u0000b'\n".replace("'", '"'), ["mine.toml:2", "directory"]),
        ("[queue]\ncooldown_seconds = inf\n", ["mine.toml:2", "queue.cooldown_seconds"]),
        ("[queue]\njob_seconds = inf\n", ["mine.toml:2", "queue.job_seconds"]),
        ("[queue]\nwaiting_total = 100000000000000000000\n", ["mine.toml:2", "waiting_total"]),
        ("[queue]\nweights = { 'discord:1' = inf }\n", ["mine.toml:2", "queue.weights"]),
        ("[queue]\nweights = { '1' = 2 }\n", ["mine.toml:2", "queue.weights", "discord:"]),
        ("[bot]\nallowed_tenants = ['123']\n", ["mine.toml:2", "allowed_tenants", "123"]),
        ("[bot]\nallowed_tenants = ['slack:foo']\n", ["mine.toml:2", "slack:foo", "slack:T"]),
        ("[retention]\nfiles_days = inf\n", ["mine.toml:2", "retention.files_days"]),
        ("[retention]\nfiles_days = 1e300\n", ["mine.toml:2", "retention.files_days"]),
        ("[assistant]\ntimeout_seconds = inf\n", ["mine.toml:2", "assistant.timeout_seconds"]),
        ("[assistant]\nbase_url = 'http://a:99999/'\n", ["mine.toml:2", "assistant.base_url"]),
        ("[assistant]\nbase_url = 'http://exa mple/'\n", ["mine.toml:2", "assistant.base_url"]),
        ("[assistant]\nbase_url = 'ws://example.com'\n", ["mine.toml:2", "https://"]),
        ("[discord]\ngateway_url = 'https://example.com'\n", ["mine.toml:2", "wss://"]),
        ("[discord]\ncdn_hosts = ['https://a.b/']\n", ["mine.toml:2", "discord.cdn_hosts"]),
        ("[http]\nhost = ''\n", ["mine.toml:2", "http.host"]),
        ("[http]\ntoken = 'a'\n", ["mine.toml:2", "rushes token create"]),
        ("[http]\nproxies = ['here']\n", ["mine.toml:2", "http.proxies"]),
        ("[slack]\nhost = 'exa mple'\n", ["mine.toml:2", "slack.host"]),
        ("[slack]\nbot_token = 'xoxp-1'\n", ["mine.toml:2", "slack.bot_token", "xoxb-"]),
        ("[slack]\napp_token = 'xoxb-1'\n", ["mine.toml:2", "slack.app_token", "xapp-"]),
        ("x = [", ["mine.toml:1: this is not valid TOML: Invalid value."]),
        ("[bot]\n\nlanguage\n", ["mine.toml:3: this is not valid TOML: Expected"]),
        ("data_dir = 'x'\n", ["mine.toml:1: there", "data_dir. Possible: [bot] data_dir."]),
        ("model = 'gpt'\n", ["mine.toml:1: there", "[assistant] model"]),
        ("[queue]\ndata_dir = 'x'\n", ["mine.toml:2: there", "Possible: [bot] data_dir."]),
        ("[models.wan]\nhost = 'x'\n", ["Possible: [slack] host or [http] host."]),
        ("[log]\nlevel='info'\n".encode("utf-16"), ["mine.toml", "UTF-8"]),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path, text, parts):
    told = refused(tmp_path, text)
    assert len(told) == 1
    for part in parts:
        assert part in told[0]
    assert "abc" not in told[0]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RUSHES_QUEU__WAITING_TOTAL", "RUSHES_QUEUE__WAITING_TOTAL"),
        ("RUSHES_QUEUE_WAITING_TOTAL", "RUSHES_QUEUE__WAITING_TOTAL"),
        ("RUSHES_BOT_DATA_DIR", "RUSHES_BOT__DATA_DIR"),
        ("RUSHES_DISCORD_TOKEN", "RUSHES_DISCORD__TOKEN"),
        ("rushes_logg__level", "RUSHES_LOG__LEVEL"),
    ],
)
def test_a_mistyped_variable_is_not_silent(tmp_path, monkeypatch, name, meant):
    monkeypatch.setenv(name, "5")
    told = refused(tmp_path, "")
    assert len(told) == 1
    assert name in told[0]
    assert meant in told[0]


def test_a_mistyped_key_in_a_variable_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("RUSHES_QUEUE__WAITING", "5")
    monkeypatch.setenv("RUSHES_MODELS__TESTCARD__STEP", "5")
    told = "\n".join(refused(tmp_path, ""))
    assert "RUSHES_QUEUE__WAITING: there is no setting queue.waiting" in told


def test_variables_of_the_crash_suite_and_of_others_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("RUSHES_FAULT", "after:claim")
    monkeypatch.setenv("RUSHES_WITNESS", "127.0.0.1:80")
    loaded(tmp_path, "")


def test_what_people_write_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUSHES_DISCORD__GUILD_IDS", "12, 34")
    monkeypatch.setenv("RUSHES_QUEUE__WEIGHTS", "discord:1=2.5")
    config = loaded(
        tmp_path,
        b"\xef\xbb\xbf[bot]\ndata_dir = '~/clips'\nplatforms = 'discord, slack'\n"
        b"[log]\nlevel = 'INFO'\nformat = ' JSON'\n[watermark]\ncorner = 'Top-Left'\n"
        b"[models]\ninstalled = 'testcard,nano'\n",
    )
    assert config.bot.data_dir == tmp_path / "clips"
    assert config.bot.platforms == ["discord", "slack"]
    assert config.discord.guild_ids == [12, 34]
    assert config.queue.weights == {"discord:1": 2.5}
    assert (config.log.level, config.log.format) == ("info", "json")
    assert config.watermark.corner == "top-left"
    assert config.models.installed == ["testcard", "nano"]


@pytest.mark.parametrize(
    "written", ["abc.def\n", "  abc.def ", '"abc.def"', "'abc.def'", "Bot abc.def", "\ufeffabc.def"]
)
def test_a_token_may_come_with_what_it_was_copied_with(tmp_path, monkeypatch, written):
    monkeypatch.setenv("DISCORD_TOKEN", written)
    assert loaded(tmp_path, "").discord.token.get_secret_value() == "abc.def"


@pytest.mark.parametrize("empty", ["", " ", "''", "\n"])
def test_an_empty_token_is_none(tmp_path, monkeypatch, empty):
    monkeypatch.setenv("RUSHES_DISCORD__TOKEN", empty)
    assert loaded(tmp_path, "").discord.token is None


def test_the_customary_variable_is_named_when_its_token_is_broken(tmp_path, monkeypatch):
    monkeypatch.setenv("DISCORD_TOKEN", "one two")
    (told,) = refused(tmp_path, "")
    assert told.startswith("DISCORD_TOKEN: discord.token is wrong")
    assert "two" not in told


def test_the_minutes_of_a_thread_may_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("RUSHES_DISCORD__THREAD_MINUTES", "1440")
    assert loaded(tmp_path, "").discord.thread_minutes == 1440


def test_a_home_that_does_not_exist_is_told(tmp_path, monkeypatch):
    (told,) = refused(tmp_path, "[bot]\ndata_dir = '~nobody-like-that/clips'\n")
    assert "mine.toml:2: bot.data_dir is wrong" in told
    assert "without ~" in told


def test_a_later_check_knows_where_a_value_stands(tmp_path):
    config = loaded(tmp_path, "[bot]\n\nlanguage = 'ko'\n")
    assert config.where("bot", "language").endswith("mine.toml:3")
    assert Config().where("bot", "language") == "bot.language"


@given(st.text(max_size=40))
def test_any_token_is_cleaned_or_refused(value):
    cleaned: str | None = ""
    with contextlib.suppress(ValueError):
        cleaned = lenient(value, SecretStr | None)
    assert cleaned is None or (cleaned.isprintable() and " " not in cleaned)


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("SLACK_BOT_TOKEN", "xapp-1", ["slack.bot_token", "xoxb-"]),
        ("DISCORD_TOKEN", "xoxb-1", ["discord.token", "Slack"]),
        ("DISCORD_TOKEN", "xapp-1", ["discord.token", "Slack"]),
        ("SLACK_BOT_TOKEN", DISCORD_LIKE, ["slack.bot_token", "Discord", "xoxb-"]),
        ("SLACK_APP_TOKEN", DISCORD_LIKE, ["slack.app_token", "Discord", "xapp-"]),
        ("RUSHES_QUEUE__WAITING_PER_GUILD", "", ["queue.waiting_per_guild", "empty"]),
        ("RUSHES_X__Y", "1", ["no section", "discord", "queue"]),
        ("RUSHES_MODELS__TESTCRD__STEPS", "1", ["models.testcrd", "testcard"]),
        ("RUSHES_BOT__DATA_DIR__X", "1", ["bot.data_dir"]),
        ("RUSHES_BOT__DATA_DIR", "", ["bot.data_dir", "empty"]),
        ("RUSHES_MODELS__TESTCARD", "[1]", ["models.testcard", "table"]),
        ("RUSHES_BOT__ALLOWED_TENANTS", "discord:1, discord:x", ["discord:x"]),
    ],
)
def test_a_mistake_in_the_environment_is_named_by_its_variable(
    tmp_path, monkeypatch, name, value, parts
):
    monkeypatch.setenv(name, value)
    (told,) = refused(tmp_path, "")
    assert told.startswith(f"{name}: ")
    for part in parts:
        assert part in told


def test_a_whole_table_of_a_model_may_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("RUSHES_MODELS__TESTCARD", '{"steps": 3}')
    assert loaded(tmp_path, "").models.options("testcard") == {"steps": 3}


@pytest.mark.parametrize("typed", ["Bot", "Bot ", "bearer", "''", '" "', "\ufeff", "\u200b\n"])
def test_a_token_of_which_nothing_is_left_is_none(tmp_path, monkeypatch, typed):
    monkeypatch.setenv("DISCORD_TOKEN", typed)
    assert loaded(tmp_path, "").discord.token is None


def test_what_others_call_warning_is_taken(tmp_path):
    assert loaded(tmp_path, "[log]\nlevel = 'WARN'\n").log.level == "warning"


def test_names_of_chats_are_taken_however_they_are_written(tmp_path):
    config = loaded(tmp_path, "[bot]\nplatforms = [' Discord', 'SLACK ', 'My.module:Make']\n")
    assert config.bot.platforms == ["discord", "slack", "My.module:Make"]


@pytest.mark.parametrize(
    "tenants",
    [
        "discord:123, discord:dm, slack:T012AB, slack:E9",
        "discord:dm-42",
        "terminal:studio",
        "mattermost:team one",
    ],
)
def test_tenants_of_every_chat_are_taken(tmp_path, tenants):
    platforms = "platforms = ['mattermost.bridge:make', 'discord', 'slack', 'terminal']"
    config = loaded(tmp_path, f"[bot]\nallowed_tenants = '{tenants}'\n{platforms}\n")
    assert config.bot.allowed_tenants == {each.strip() for each in tenants.split(",")}


def test_a_section_from_the_environment_is_merged_with_that_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("RUSHES_QUEUE", '{"waiting_total": 7}')
    queue = loaded(tmp_path, "[queue]\nwaiting_per_guild = 4\nwaiting_total = 9\n").queue
    assert (queue.waiting_total, queue.waiting_per_guild) == (7, 4)


@pytest.mark.parametrize("value", ["[]", "3", "{", ""])
def test_a_section_from_the_environment_that_is_no_table_is_named(tmp_path, monkeypatch, value):
    monkeypatch.setenv("RUSHES_QUEUE", value)
    (told,) = refused(tmp_path, "[queue]\nwaiting_per_guild = 4\n")
    assert told.startswith("RUSHES_QUEUE: queue is wrong")


def test_a_model_whose_folder_is_missing_stops_no_other(tmp_path):
    config = loaded(
        tmp_path,
        "[models]\ninstalled = ['gone', 'testcard']\n"
        "[models.gone]\nengine = 'diffusers'\npath = '/nowhere'\n",
    )
    known = factories.models(config)
    installation = factories.make_installation(config, known)
    installation.check(replace(SPEC, model="testcard"))
    with pytest.raises(UserError) as caught:
        installation.check(replace(SPEC, model=installation.default.name))  # it is the default
    assert caught.value.code == "folder.missing"
    told = error_text(factories.locate_problem(config, "gone", known.problems["gone"]), "en")
    assert told.startswith(str(tmp_path / "mine.toml") + ":5: models.gone.path")
    assert [entry.capabilities.name for entry in known.usable(config.models.installed)] == [
        "testcard"
    ]


def write_model(place):
    """Write what can be told from a folder with a video model without torch."""
    parts = {
        "vae": "AutoencoderKLWan",
        "transformer": "WanTransformer3DModel",
        "text_encoder": "UMT5EncoderModel",
        "tokenizer": "T5Tokenizer",
        "scheduler": "UniPCMultistepScheduler",
    }
    index = {"_class_name": "WanPipeline"}
    for part, kind in parts.items():
        library = "transformers" if part in {"text_encoder", "tokenizer"} else "diffusers"
        index[part] = [library, kind]
        (place / part).mkdir()
        for name in ("config.json", "scheduler_config.json", "tokenizer.json"):
            (place / part / name).write_text("{}")
        for name in ("model", "diffusion_pytorch_model"):
            (place / part / f"{name}.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    (place / "scheduler" / "scheduler_config.json").write_text('{"use_flow_sigmas": true}')
    (place / "model_index.json").write_text(json.dumps(index))


def test_a_broken_model_tells_its_problem_before_any_option_and_once_it_is_mended(tmp_path):
    place = tmp_path / "gone"
    config = loaded(
        tmp_path,
        "[models]\ninstalled = ['gone', 'testcard']\n"
        f"[models.gone]\nengine = 'diffusers'\npath = '{place}'\n",
    )
    installation = factories.make_installation(config)
    asked = {"model": "gone", "resolution": "360p", "frames": 2}  # its stand-in has neither

    def told():
        with pytest.raises(UserError) as caught:
            resolve("a", (Layer(name=COMMAND, values=asked, asked=True),), installation)
        return caught.value.code

    assert told() == "folder.missing"
    place.mkdir()
    assert told() == "folder.no_index"
    write_model(place)
    assert told() == "model.restart"
    shutil.rmtree(place)
    assert told() == "folder.missing"
    check_options({"frames": 2}, installation, model="gone")  # a preset, for later


@pytest.mark.parametrize(
    ("table", "known"),
    [
        ("", True),
        ("[bot]\nlanguage = 'ko'\n", True),
        ("[bot]\ndata_dir = '/var/lib/rushes'\n", True),
        ("[bot]\ndata_dir = '~/clips'\n", False),
        ("[bot]\ndata_dir = 5\n", False),
        ("[bot\n", False),
    ],
)
def test_who_only_asks_finds_the_data_where_the_whole_config_says(tmp_path, table, known):
    path = tmp_path / "mine.toml"
    path.write_text(table)
    found = find_location(path, None)
    assert (found is not None) is known
    if found is not None:
        section = load_config(path).bot
        assert (found.data_directory, found.language) == (section.data_dir, section.language)


def test_who_only_asks_reads_the_whole_config_where_the_environment_says_more(monkeypatch):
    assert find_location(None, None).data_directory == Path("data")
    assert find_location(None, Path("/x y")) is None
    monkeypatch.setenv("RUSHES_BOT__DATA_DIR", "elsewhere")
    assert find_location(None, None) is None
    assert find_location(Path("/no/such/file"), None) is None


def test_a_broken_model_is_not_offered_anywhere(tmp_path):
    config = loaded(
        tmp_path,
        "[models]\ninstalled = ['gone', 'testcard']\n"
        f"[models.gone]\nengine = 'diffusers'\npath = '{tmp_path}/gone'\n",
    )
    installation = factories.make_installation(config)
    alone = factories.make_installation(loaded(tmp_path, "[models]\ninstalled = ['testcard']\n"))

    assert [model.name for model in installation.offered] == ["testcard"]
    assert installation.options.shown == alone.options.shown
    assert installation.find_options("gone").shown == alone.options.shown
    assert installation.able_to(Mode.TEXT_TO_IMAGE) == ["testcard"]
    field = modal_fields.draw(
        built_in_commands(installation.options)[0],
        installation,
        "en",
        everything=True,
        with_image=True,
    )
    [choice] = [block for block in field if block["block_id"] == "model"]
    assert [each["value"] for each in choice["element"]["options"]] == ["testcard"]
    for name in ("nothing like it", "gon"):
        with pytest.raises(UserError) as caught:
            installation.model(name)
        assert (caught.value.code, caught.value.params["known"]) == ("model.unknown", ["testcard"])


def test_where_the_folder_of_the_only_model_is_missing_a_start_goes_on(tmp_path):
    config = loaded(
        tmp_path,
        "[models]\ninstalled = ['gone']\n[models.gone]\nengine = 'diffusers'\npath = '/nowhere'\n",
    )
    assert [model.name for model in factories.make_installation(config).models] == ["gone"]


def test_a_wrong_key_beside_a_missing_folder_still_stops(tmp_path):
    table = "[models.gone]\nengine = 'diffusers'\npath = '/nowhere'\nstep = 4\n"
    assert "models.gone.step" in "".join(refused(tmp_path, table))

from __future__ import annotations

import contextlib
import subprocess
import sys

import av
import pytest
from PIL import Image

from bot.cli import offline_render, render_many
from bot.cli.parser import language, main
from bot.cli.render_many import _slug
from inference.domain.spec import Aspect, Resolution, Size, Spec
from inference.media.encode import open_mp4
from inference.media.provenance import recipe_comment, xmp

MARKED = "Marked as made by AI (IPTC digitalSourceType: trainedAlgorithmicMedia)"

SPEC = Spec(
    prompt="a red fox", model="testcard", resolution=Resolution("360p"), aspect=Aspect("16:9"),
    frames=49, refine=False, seed=7, steps=4, cfg=7.0, loops=1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def testcard_only(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUSHES_MODELS__INSTALLED", '["testcard"]')
    monkeypatch.delenv("RUSHES_MODELS__DEFAULT", raising=False)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    for name in ("DISCORD_TOKEN", "SLACK_BOT_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def refused(capsys, *arguments: str) -> str:
    """Return the one sentence on stderr, after checking that it is all there is."""
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("rushes: ")
    assert said.err.count("\n") == 1
    return said.err.removeprefix("rushes: ").rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["", "-o", "a.mp4"], ["Describe the clip"]),
        (["x" * 10_000, "-o", "a.mp4"], ["10000 characters", "2000"]),
        (["a fox", "--frams", "49", "-o", "a.mp4"], ["--frams", "--frames"]),
        (["a fox", "--motion", "wild", "-o", "a.mp4"], ["--motion", "wild", "extremely high"]),
        (["a fox", "--frames", "50", "-o", "a.mp4"], ["--frames", "50", "49 or 65"]),
        (["a fox", "--model", "sora", "-o", "a.mp4"], ["sora", "testcard"]),
        (["a fox", "-o", "a.gif"], ["a.gif", ".mp4 or .png"]),
        (["a fox", "-o", "missing/a.mp4"], ["missing"]),
        (["a fox", "--frames", "49", "-o", "a.png"], ["a.png", ".mp4"]),
        (["a fox", "--frames", "1", "-o", "a.mp4"], ["a.mp4", ".png"]),
    ],
)
@pytest.mark.cases(3)
def test_a_render_that_cannot_be_says_why_and_what_can(capsys, tmp_path, arguments, parts):
    sentence = refused(capsys, "render", *arguments)
    for part in parts:
        assert part in sentence
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_never_written_over(capsys, tmp_path):
    (tmp_path / "clips.mp4").mkdir()
    assert "clips.mp4 is a folder" in refused(capsys, "render", "a fox", "-o", "clips.mp4")


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        (None, ["mine.toml"]),
        ("x = [", ["mine.toml", "TOML"]),
        ("[queue]\nwaiting = 5\n", ["queue.waiting"]),
        ('[queue]\nwaiting_per_guild = "many"\n', ["queue.waiting_per_guild", "whole number"]),
        ('[log]\nlevel = "loud"\n', ["log.level", "debug", "error"]),
    ],
)
def test_a_config_that_cannot_be_read_says_which_key_and_why(capsys, tmp_path, config, parts):
    if config is not None:
        (tmp_path / "mine.toml").write_text(config)
    sentence = refused(capsys, "run", "--config", "mine.toml")
    for part in parts:
        assert part in sentence


def test_a_bot_without_any_token_says_how_to_get_one(capsys):
    assert "DISCORD_TOKEN" in refused(capsys, "run")


@pytest.mark.parametrize(
    "arguments", [["queue"], ["submit", "a fox"], ["cancel", "7Q2FK9XDAB"], ["show", "7Q2FK9XDAB"]]
)
def test_without_a_running_bot_people_are_told_how_to_start_it(capsys, arguments):
    sentence = refused(capsys, *arguments, "--data-dir", "studio")
    assert "not running on studio" in sentence
    assert "rushes run" in sentence


def test_a_file_without_a_recipe_is_named(capsys, tmp_path):
    (tmp_path / "holiday.mp4").write_bytes(b"not a clip")
    assert "holiday.mp4" in refused(capsys, "show", "holiday.mp4")


def still(path):
    Image.new("RGB", (8, 8)).save(path, "JPEG", xmp=xmp())


def clip(path, recipe=None):
    comment = recipe_comment(SPEC.as_dict() if recipe is None else recipe)
    with open_mp4(path, Size(32, 32), rate=24, comment=comment, options={}) as mp4:
        mp4.encode(av.VideoFrame(32, 32, "rgb24"))


@pytest.mark.parametrize("name", ["fox", "fox.mp4", "fox.jpg", "fox.png", "fox.jpeg", "a:b.mp4"])
def test_what_is_in_a_file_is_shown_whatever_its_name(capsys, tmp_path, name):
    still(tmp_path / name)
    assert main(["show", name]) == 0
    assert capsys.readouterr().out.splitlines() == [MARKED]
    clip(tmp_path / name)
    assert main(["show", name]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(MARKED)
    assert "a red fox" in shown


def test_a_file_that_is_marked_and_has_no_recipe_of_ours_is_shown_as_marked(capsys, tmp_path):
    clip(tmp_path / "a.mp4", {"made": "elsewhere"})
    assert main(["show", "a.mp4"]) == 0
    assert capsys.readouterr().out.splitlines() == [MARKED]


@pytest.mark.parametrize("name", ["folder", "folder.mp4", "clips/", ".", ".."])
def test_a_folder_is_no_job(capsys, tmp_path, name):
    (tmp_path / name).mkdir(exist_ok=True)
    assert "is not a readable file" in refused(capsys, "show", name)


def test_a_job_is_shown_although_its_folder_is_here(capsys, tmp_path):
    (tmp_path / "7Q2FK9XDAB").mkdir()
    assert "not running" in refused(capsys, "show", "7Q2FK9XDAB")


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["queue", "now"], ["render", "a fox"], ["chat", "--ad"], ["cancel"]]
)
def test_wrong_usage_exits_with_2(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: rushes" in capsys.readouterr().err


def test_an_unknown_flag_of_a_render_points_to_the_help_of_render(capsys):
    sentence = refused(capsys, "render", "a fox", "--zzzz", "1", "-o", "a.mp4")
    assert "rushes render --help" in sentence
    assert "rushes submit" not in sentence


@pytest.mark.parametrize(
    "verb", ["run", "chat", "render", "submit", "queue", "cancel", "show", "models"]
)
def test_every_verb_explains_itself(capsys, verb):
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    assert f"usage: rushes {verb}" in told
    assert "cli." not in told


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("Rushes ")


@pytest.mark.process
@pytest.mark.slow
def test_the_installed_models_are_listed_with_the_default(capsys):
    assert main(["models", "list"]) == 0
    assert capsys.readouterr().out.startswith("testcard  Test card · 360p · 720p")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LANG": "ko_KR.UTF-8"}, "ko_KR.UTF-8"),
        ({"LC_ALL": "ko_KR.UTF-8", "LANG": "de_DE"}, "ko_KR.UTF-8"),
        ({"LC_ALL": "", "LANG": "C.UTF-8"}, "en"),
        ({"LANG": "POSIX"}, "en"),
        ({}, "en"),
    ],
)
def test_the_language_is_that_of_the_environment(monkeypatch, environment, expected):
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert language() == expected


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["que"], "que is not known. Did you mean queue?"),
        (["models", "foo"], "It can be list, pull or check."),
        (["models", "pull"], "Name a model"),
        (["slack", "manifest", "--mode", "http"], "needs --url"),
        (["render", "a fox"], "-o clip.mp4"),
        (["queue", "--lang"], "--lang needs a value after it."),
        (["queue", "--lang", "ko", "--config"], "--config 뒤에 값이 필요해요."),
        (["queue", "--lang=", "--data-dir", "."], "--lang needs a value after it."),
        (["cancel"], "rushes cancel: error: missing: JOB"),
        (["--lang", "ko", "cancel"], "rushes cancel: error: 필요한 값: JOB"),
        (["queue", "--lang", "xx"], "there is no language xx. Choose en or ko"),
        (["--lang", "xx", "queue"], "there is no language xx. Choose en or ko"),
        (["db", "check", "twice"], "rushes db check: error: unexpected: twice"),
        (["health", "--lout"], "rushes health: error: unexpected: --lout"),
    ],
)
def test_wrong_usage_says_what_is_right(capsys, arguments, sentence):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--lang", "ko", "db", "check"],
        ["db", "--lang", "ko", "check"],
        ["db", "check", "--lang", "ko"],
    ],
)
def test_the_language_may_stand_anywhere(capsys, arguments):
    assert "없어요" in refused(capsys, *arguments)


@pytest.mark.process  # which asks torch for the device
@pytest.mark.cases(3)
@pytest.mark.parametrize(
    "arguments",
    [
        ["--lang", "ko", "models", "list"],
        ["models", "--lang", "ko", "list"],
        ["models", "list", "--lang", "ko"],
    ],
)
def test_the_language_of_what_is_not_wrong_may_stand_anywhere(capsys, arguments):
    assert main(arguments) == 0
    assert "기본" in capsys.readouterr().out


TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4.Gabcde.a-signature"  # noqa: S105 - of nobody


def test_an_invitation_needs_no_network(capsys, monkeypatch):
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    assert main(["discord", "invite"]) == 0
    assert "client_id=123456789012345678&" in capsys.readouterr().out


@pytest.mark.parametrize("token", ["secret", "a.b.c", "Zm9v.b.c", "Ww.b.c"])
@pytest.mark.cases(2)
def test_a_token_that_is_none_is_refused_without_being_shown(capsys, monkeypatch, token):
    monkeypatch.setenv("DISCORD_TOKEN", token)
    sentence = refused(capsys, "discord", "invite")
    assert "not a bot token" in sentence
    assert token not in sentence


HEAVY = {
    "--help": ("asyncio", "structlog", "pydantic", "aiohttp", "rich"),
    "queue": ("torch", "numpy", "PIL", "av", "discord", "slack_bolt", "prompt_toolkit", "bot.app"),
}
"""By command line, modules without which it starts in time."""


@pytest.mark.process
@pytest.mark.parametrize("word", HEAVY)
def test_the_command_line_imports_little(word):
    code = f"""
import sys
from bot.cli.parser import main
try:
    main([{word!r}])
except SystemExit:
    pass
print([name for name in {HEAVY[word]} if name in sys.modules], file=sys.stderr)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == "[]"


@pytest.mark.process
def test_the_bot_starts_without_what_its_children_and_pictures_need():
    code = """
import sys
import bot.app
print([name for name in ("torch", "numpy", "PIL", "av") if name in sys.modules])
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["[]"]


# -- many --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--many", "missing.txt"], ["missing.txt cannot be read"]),
        (["--many", "empty.txt"], ["no prompt"]),
        (["--many", "binary.txt"], ["not text"]),
        (["--many", "empty.txt", "-o", "no/where"], ["no folder no to"]),
        (["--many", "empty.txt", "a fox"], ["a fox"]),
    ],
)
@pytest.mark.cases(2)
def test_a_batch_that_cannot_be_says_why(capsys, tmp_path, arguments, parts):
    (tmp_path / "empty.txt").write_text("\n# nothing\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    sentence = refused(capsys, "render", *arguments)
    for part in parts:
        assert part in sentence


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("a red ball!", "a-red-ball"),
        ("a cafe\u0301, by night", "a-café-by-night"),
        ("हिन्दी और 👨‍👩‍👧‍👦", "हिन्दी-और"),
        ("क्षि" * 30, "क्षि" * 10),
    ],
)
def test_files_of_a_batch_have_whole_characters_in_their_names(prompt, name):
    assert _slug(prompt) == name


@pytest.mark.parametrize("many", [False, True])
def test_a_render_says_on_stderr_what_the_model_does_not_know(capsys, tmp_path, monkeypatch, many):
    async def nothing(*_):
        pass

    @contextlib.asynccontextmanager
    async def no_slot(*_):
        yield None

    for module in (offline_render, render_many):
        monkeypatch.setattr(module, "render", nothing)
        monkeypatch.setattr(module, "open_slot", no_slot)
    monkeypatch.setenv("RUSHES_MODELS__INSTALLED", '["nano"]')
    (tmp_path / "many.txt").write_text("a red dragon\na blue dragon\na red ball\n")
    flags = ["--many", "many.txt"] if many else ["a red dragon", "-o", "one.png"]
    assert main(["render", *flags, "--frames", "1"]) == 0
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("rushes: nano does not know ‘dragon’.")  # noqa: RUF001 - as printed


def test_each_line_of_a_batch_that_cannot_be_is_told(capsys, tmp_path):
    (tmp_path / "many.txt").write_text("a fox --frams 49\n\n# b\n--res 360p\n")
    assert main(["render", "--many", "many.txt"]) == 1
    said = capsys.readouterr()
    first, second = said.err.splitlines()
    assert first.startswith("rushes: line 1: ")
    assert "--frames" in first
    assert second.startswith("rushes: line 4: Describe the clip")
    assert said.out == ""

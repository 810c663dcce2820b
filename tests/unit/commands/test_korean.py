from __future__ import annotations

import re
from string import Formatter

import pytest

from commands.policy.settings import Language
from commands.text import messages, particles
from commands.text.messages import any_of, duration, format_estimate, message_ids, ordinal, text

LATIN = re.compile(r"[A-Za-z]{2,}")
KEPT = re.compile(
    r"\{[^}]*\}|https?://\S+|\[\w+\]"  # placeholders, addresses, sections of the config
    r'|[a-z]+_[a-z]+|platforms에 ("http"|)|mode를 http로|https 주소|host[나와] port'
    r'|preset\(\{[^}]*\}\) 또는 path|loras[를나]|gguf를|few를|path로|\btoken의 (값|토큰)|"auto"'
    r"|\bapi, |\bMP4\b|fonts-noto"
    r"|기본값: (general|local)|unlimited 또는 default|yes 또는 no|auto는|log는 변경"
    r"|--gpus all|pip install \./|jobs 폴더|gguf 패키지|hf auth logout|rushes doctor"
    r"|rushes models pull"
    r"|`installed`|installed =|zip 파일|peft 패키지|pickle 파일|docs/\w+\.md"
    r"|\[plugins\.|generate는|wait로|result로|stdio"  # sections, tools and ways in
    r"|Expect에는 100-continue|true나 false|true, false|engine[을은]|설정의 p(ath|reset)[를을]"
    r"|거나 path를|models\.\{name\}"
    r"|multipart에서는|video는 완성된|xoxb-|xapp-|Bot, Reset Token|OAuth & Permissions"
    r"|Basic Information|Settings, Socket Mode|Socket Mode"  # what Discord and Slack call it
    r"|--camera pan left|--preset none|editors=600, ann=unlimited|Europe/Berlin|Asia/Seoul"
    r"|/generate a red ball[^.“]*|/(rushes|as|[a-z]+)[a-z -]*[A-Z #+]*|--[a-z-]+"  # what is typed
    r"|rushes (run|chat|plugins|db (backup|check)|discord invite|slack manifest)"
    r"|bash, zsh 또는 fish|rushes models (pull |check )?"
    r"|\broot로|chown -R|chmod u\+rwX|install -d -m 700 -o"
    r"|data:image/png;base64|MODEL|FILE|nvidia-smi|timedatectl set-ntp true"
    r"|Content-Range|If-Match|If-Unmodified-Since|이 Range에|path나 preset을|config가"
    r"|application/json|multipart/form-data|Idempotency-Key|Authorization: Bearer rsh_"
    r"|rushes token (create|list)( --guild api --name ci)?|video\[id\]|input_reference"
    r"|(discord|slack):\w+|pip install [^.그]+|[a-z_]+\.[a-z_]+|[A-Z]+_[A-Z_]+|\.(png|mp4|json)"
)
"""What is the same in every language."""

WORDS = {
    *("Rushes", "rushes", "nano", "Debian", "Discord", "Slack", "OpenAI", "Diffusers", "PyTorch"),
    *("torch", "CUDA", "Python", "SQLite", "README", "TOML", "PNG", "JPEG", "WebP", "GIF"),
    *("HEIC", "AVIF", "GGUF", "safetensors", "LoRA", "JSON", "UTF", "BOM", "IPTC"),
    *("digitalSourceType", "AI", "API", "CPU", "DNS", "GPU", "HTTP", "ID", "MCP", "TLS"),
    *("MB", "GB", "kB", "Ctrl", "Tab", "torchvision", "bitsandbytes"),
}
"""Names, kinds of files, units and short forms; a word of a setting belongs into KEPT."""


def placeholders(key: str, locale: str) -> set[tuple[str, str]]:
    template = messages.template(key, locale)
    return {(name, style or "") for _, name, style, _ in Formatter().parse(template) if name}


def test_korean_has_every_message_and_no_other():
    assert message_ids("ko") == message_ids("en")
    for key in message_ids():
        assert messages.template(key, "ko"), key


def test_every_language_there_is_can_be_set_for_a_guild():
    for language in set(Language) - {Language.AUTO}:
        assert messages.language(language) == language
        assert len(message_ids(language)) == len(message_ids())


def test_messages_have_the_values_of_the_english_ones_written_in_the_same_way():
    for key in message_ids():
        assert placeholders(key, "ko") == placeholders(key, "en"), key


def test_no_english_was_forgotten():
    left = {
        key: words
        for key in message_ids()
        if (words := set(LATIN.findall(KEPT.sub(" ", messages.template(key, "ko")))) - WORDS)
    }
    assert left == {}


@pytest.mark.parametrize("other", ["다시 시도하세요", "다시 해 보세요", "여기로 보내요", "되었"])
def test_one_thing_is_said_in_one_way(other):
    for key in message_ids():
        assert other not in messages.template(key, "ko"), key


def test_what_is_the_same_in_both_languages_has_no_words():
    same = {key for key in message_ids() if messages.template(key) == messages.template(key, "ko")}
    assert same == {
        *("list.separator", "facts.separator", "card.title", "card.refined", "info.line"),
        "facts.option",
        *("help.line", "help.choices", "queue.running", "audit.line", "form.flags_hint"),
        *("error.control.refused", "discord.command.rushes", "slack.home.title"),
        *("doctor.python.fine", "doctor.plugins.fine"),
        *("doctor.running.problem", "error.config.folder", "error.config.model"),
    }


def test_help_fits_into_what_discord_shows():
    for key in message_ids():
        if key.startswith(("option.", "command.", "discord.group.", "choice.")):
            assert len(text(key, "ko")) <= 100, key


def test_commands_and_flags_that_are_typed_are_those_of_english():
    typed = re.compile(r"/rushes(?:-admin)? [a-z-]+|--[a-z]+|/[a-z]{3,}")
    for key in message_ids():
        english, korean = (typed.findall(messages.template(key, it)) for it in ("en", "ko"))
        assert set(korean) == set(english), key


@pytest.mark.parametrize(
    ("word", "chosen"),
    [
        ("무지개", "무지개를 무지개는 무지개가 무지개와 무지개로"),
        ("산", "산을 산은 산이 산과 산으로"),
        ("불", "불을 불은 불이 불과 불로"),
        ("“산”", "“산”을 “산”은 “산”이 “산”과 “산”으로"),
        ("720", "720을 720은 720이 720과 720으로"),
        ("1", "1을 1은 1이 1과 1로"),
        ("7Q2FK9XD", "7Q2FK9XD를 7Q2FK9XD는 7Q2FK9XD가 7Q2FK9XD와 7Q2FK9XD로"),
        ("URL", "URL을 URL은 URL이 URL과 URL로"),
        ("360p", "360p을(를) 360p은(는) 360p이(가) 360p과(와) 360p(으)로"),
        ("…", "…을(를) …은(는) …이(가) …과(와) …(으)로"),
    ],
)
def test_particles_follow_the_sound_of_the_word(word, chosen):
    forms = ("을(를)", "은(는)", "이(가)", "과(와)", "(으)로")
    assert " ".join(word + particles.agree(form, word) for form in forms) == chosen


def test_a_particle_may_stand_behind_a_quotation_mark():
    assert particles.agree("”을(를) 지워요", "산") == "”을 지워요"
    assert particles.agree(" 을(를)", "산") == " 을(를)"


def test_messages_are_filled_with_fitting_particles():
    assert "“무지개”를" in text("words.removed", "ko-KR", word="무지개")
    assert "“산”을" in text("words.removed", "ko", word="산")


def test_values_that_look_like_particles_stay_as_they_are():
    assert text("card.title", "ko", prompt="산을(를) {name}") == "🎬 산을(를) {name}"


def test_durations_places_and_alternatives_are_korean():
    assert duration(47, "ko") == "47초"
    assert duration(180, "ko") == "3분"
    assert duration(4800, "ko") == "1시간 20분"
    assert format_estimate(41, "ko") == "약 40초"
    assert [ordinal(number, "ko") for number in (2, 3, 11, 21)] == [
        "2번째",
        "3번째",
        "11번째",
        "21번째",
    ]
    assert any_of(["a", "b", "c"], "ko") == "a, b 또는 c"


@pytest.mark.parametrize("count", [0, 1, 2, 97])
def test_there_is_one_plural_form(count):
    assert text("unit.frames", "ko", count=count) == f"{count}프레임"

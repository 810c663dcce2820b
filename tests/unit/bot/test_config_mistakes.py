"""Every setting with values of every wrong kind: one sentence, in words of the config."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config.effective import toml
from bot.config.sections import Config, ModelsSection
from bot.config.sources import load_config, load_usable
from commands.text.messages import error_text, languages
from inference.domain.errors import RushesError
from inference.engines.registry import ENGINE, Models
from tests.unit.bot.test_config import empty_place, refused

__all__ = ["empty_place"]

WRONG = ("''", "'x'", "-1", "1.5", "inf", "true", "[1]", "[{a=1}]", "{}", "{a='x'}", "07:32:00")
OF_LIBRARIES = (
    *("<class", "pathlib", "pydantic", "NoneType", "None", "input", "Input", "frozenset"),
    *("dictionary", "parse", "instance", "Expecting", "column", "appear", "literal", "datetime"),
    *("[key]", "{'", "['", "True", "False", "Error", "validat", "unsupported"),
)
"""What only Python and its libraries say."""


def settings():
    for section, field in Config.model_fields.items():
        yield from ((section, key) for key in field.annotation.model_fields)
    for model in ("nano", "opensora", "testcard", "wan"):
        yield from ((f"models.{model}", key) for key in Models().table_keys(model))
    yield from (("models.mine", key) for key in (ENGINE, "path", "preset"))
    yield from (("models", key) for key in ("mine", "nano"))
    yield ("plugins", "mine")


def told(path, text):
    """Return the sentences for a config, in every language; none for one that is right."""
    path.write_text(text, encoding="utf-8")
    try:
        load_config(path)
    except RushesError as error:
        found = {one: error_text(error, one).splitlines() for one in languages()}
        for lines in found.values():
            for line in lines:
                assert not [phrase for phrase in OF_LIBRARIES if phrase in line], line
        assert len({len(lines) for lines in found.values()}) == 1
        return found["en"]
    return []


def check(path, section, key, value):
    header = f"[{section}]\n" if section else ""
    lines = told(path, f"{header}{key} = {value}\n")
    assert len(lines) <= 1, lines
    for line in lines:
        assert line.startswith(f"{path}:"), line
        assert line.endswith("."), line


@pytest.mark.cases(10)
@pytest.mark.parametrize(("section", "key"), list(settings()), ids=".".join)
def test_a_wrong_value_of_a_setting_is_one_sentence(tmp_path, section, key):
    for value in WRONG:
        check(tmp_path / "mine.toml", section, key, value)


@pytest.mark.cases(3)
@pytest.mark.parametrize("section", list(Config.model_fields))
def test_what_is_no_section_is_one_sentence(tmp_path, section):
    for value in WRONG:
        check(tmp_path / "mine.toml", "", section, value)


@pytest.mark.parametrize(
    ("table", "member", "rest"),
    [
        *(
            ("testcard.lengths", key, "step=4, shortest=5, longest=9")
            for key in ("offset", "image")
        ),
        *(("testcard.lengths", key, "") for key in ("step", "shortest", "longest")),
        ("wan.loras", "file", ""),
        ("wan.loras", "weight", "file='a'"),
    ],
)
def test_a_wrong_member_of_a_table_is_one_sentence(tmp_path, table, member, rest):
    model, key = table.split(".")
    for value in WRONG:
        inner = "{" + ", ".join(filter(None, (rest, f"{member} = {value}"))) + "}"
        written = f"[{inner}]" if key == "loras" else inner
        path = tmp_path / "mine.toml"
        lines = told(path, f"[models.{model}]\n{key} = {written}\n")
        # one for the member, one for all that is missing
        assert len(lines) <= 1 + (not rest and member != "file"), lines


VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="ascii"), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(setting=st.sampled_from(list(settings())), value=VALUES)
def test_any_value_of_any_setting_is_taken_or_told(tmp_path_factory, setting, value):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    told(path, f"[{setting[0]}]\n{setting[1]} = {toml(value)}\n")


def test_a_name_that_is_there_twice_hides_no_other_mistake(tmp_path):
    text = "[models]\ninstalled = ['nano', 'nano', 'foo', 'foo']\ndefault = 'bar'\n"
    told = "\n".join(refused(tmp_path, text))
    for said in ("nano is there twice", "no model foo", "default is bar"):
        assert told.count(said) == 1, told
    assert told.count("\n") == 2
    path = tmp_path / "mine.toml"
    path.write_text("[models]\ninstalled = ['nano', 'nano', 'testcard']\n")
    assert load_usable(path).models.installed == ["nano", "testcard"]


@pytest.mark.parametrize("name", list(ModelsSection.model_fields))
def test_a_setting_is_no_name_of_a_model(tmp_path, name):
    table = f"[models.{name}]\nengine = 'diffusers'\npath = '/x'\n"
    (line,) = refused(tmp_path, table)
    assert f"mine.toml:1: models.{name} is a setting" in line
    if name == "directory":
        both = f"[models]\ninstalled = ['{name}']\ndefault = '{name}'\n{table}"
        (line,) = refused(tmp_path, both)
        assert f"mine.toml:4: models.{name} is a setting" in line


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        ("engine = 'diffuser'", ["mine.toml:5", "models.mine.engine", "diffusers"]),
        ("engine = 3", ["mine.toml:5", "models.mine.engine", "quotes"]),
        ("path = '/x'", ["mine.toml:4", "[models.mine] is not a model", "add engine", "diffusers"]),
        ("engine = 'diffusers'", ["mine.toml:4", "models.mine", "path"]),
        ("engine = 'diffusers'\npth = '/x'", ["mine.toml:6", "models.mine.pth", "Possible: path."]),
        ("engine = 'testcard'\nlengths = {}", ["mine.toml:6", "step, shortest, longest"]),
        ("engine = 'diffusers'\npreset = 'wan'\nfew = true", ["mine.toml:7", "wan-14b"]),
        ("engine = 'diffusers'\npreset = 'wan'\nloras = [{fil = 'x'}]", ["loras.0.fil", ": file."]),
    ],
)
def test_one_mistake_in_a_table_is_one_sentence(tmp_path, table, parts):
    text = f"[models]\ninstalled = ['mine']\ndefault = 'mine'\n[models.mine]\n{table}\n"
    (line,) = refused(tmp_path, text)
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *itertools.product(
            ["RUSHES_BOT", "RUSHES_MODELS", "RUSHES_PLUGINS"], ["x", "[1]", "{", "3"]
        ),
        *itertools.product(
            ["RUSHES_BOT__DATA_DIR__X", "RUSHES_QUEUE__WEIGHTS"], ["1", "[1", "{a}"]
        ),
        ("RUSHES_MODELS__DIRECTORY__ENGINE", "diffusers"),
        ("RUSHES_MODELS__MINE__ENGINE__X", "x"),
        ("RUSHES_DISCORD__GUILD_IDS", "x"),
        ("RUSHES_HTTP__PROXIES", "x"),
        ("RUSHES_HTTP__PUBLIC_URL", "http://["),
        ("RUSHES_BOT__LANGUAGE", "fr"),
        ("RUSHES_BOT__OPERATORS", "kim"),
    ],
)
def test_a_wrong_variable_is_one_sentence(tmp_path, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    (line,) = told(tmp_path / "mine.toml", "")
    assert line.startswith(f"{name}: ")


@pytest.mark.parametrize(
    "name", ["RUSHES_QUEUE", "RUSHES_MODELS__NANO", "RUSHES_PLUGINS", "RUSHES_PLUGINS__A"]
)
def test_a_variable_in_the_place_of_a_table_is_told_the_names_of_those_in_it(
    tmp_path, monkeypatch, name
):
    monkeypatch.setenv(name, "3")
    (line,) = told(tmp_path / "mine.toml", "")
    assert f"begins with {name}__" in line


@pytest.mark.parametrize(
    ("variables", "port", "weights"),
    [
        ({"HTTP__PROT": "80"}, 81, {"x:a": 2.0}),
        ({"HTTP__PORT": "abc"}, 81, {"x:a": 2.0}),
        ({"HTTP__PORT": "82", "HTTP__PROT": "80"}, 82, {"x:a": 2.0}),
        ({"HTTP": '{"port": 83, "prot": 80}'}, 83, {"x:a": 2.0}),
        ({"HTTP": "83"}, 81, {"x:a": 2.0}),
        ({"HTTP": "{"}, 81, {"x:a": 2.0}),
        ({"QUEUE__WEIGHTS": "x:a=z, b=1"}, 81, {"x:a": 2.0}),
        ({"QUEUE__WEIGHTS": '{"b": 1, "x:c": 3}'}, 81, {"x:a": 2.0}),
        ({"QUEUE": '{"weights": {"b": "z", "x:c": 3}}'}, 81, {"x:a": 2.0, "x:c": 3.0}),
    ],
)
def test_a_wrong_variable_hides_neither_another_nor_the_file(
    tmp_path, monkeypatch, variables, port, weights
):
    path = tmp_path / "config.toml"
    path.write_text('[http]\nport = 81\nport_ = 1\n[queue.weights]\n"x:a" = 2\n[log]\nlevel = 5\n')
    monkeypatch.setenv("RUSHES_BOT__DATA_DIR", str(tmp_path / "there"))
    for name, value in variables.items():
        monkeypatch.setenv(f"RUSHES_{name}", value)
    with pytest.raises(RushesError):
        load_config(path)
    config = load_usable(path)
    assert config.bot.data_dir == tmp_path / "there"
    assert config.http.port == port
    assert config.queue.weights == weights


def test_a_variable_keeps_what_it_says_right_where_the_file_is_wrong(tmp_path, monkeypatch):
    path = tmp_path / "config.toml"
    path.write_text('[queue.weights]\n"x:a" = 2\nb = "z"\n')
    monkeypatch.setenv("RUSHES_QUEUE", '{"weights": {"x:c": 3}}')
    assert load_usable(path).queue.weights == {"x:a": 2.0, "x:c": 3.0}


def test_a_wrong_table_with_the_name_of_a_section_hides_nothing(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("[http]\nport = 81\n[http.log]\na = 1\n")
    assert load_usable(path).http.port == 81

"""Mistakes of the config: each is one line of the doctor, which examines the rest all the same."""

import pytest

from bot.config.sections import Config
from bot.config.sources import load_config, load_usable
from bot.doctor import configuration, machine, network, storage
from bot.doctor.findings import Level
from bot.preflight import problems
from commands.text.messages import languages
from inference.domain.errors import RushesError
from inference.workers.device_report import DeviceReport
from tests.unit.bot.test_config import empty_place
from tests.unit.bot.test_config_mistakes import WRONG, settings

pytestmark = pytest.mark.deep

__all__ = ["empty_place"]

CARD = DeviceReport(torch="2.13.0", cuda="13.0", memory_bytes=80 * 10**9, free_bytes=79 * 10**9)


def told(path):
    """Return the doctor's lines of what is wrong, and whether the config could be read.

    The other checks of this machine go on with what is right of it.
    """
    mistake = None
    try:
        load_config(path)
    except RushesError as error:
        mistake = error
    usable = load_usable(path)
    for check in (machine.disk, storage.model_weights, network.proxy, configuration.plugins):
        list(check(usable))
    list(machine.memory(usable, CARD))
    wrong = [one for one in configuration.config(usable, mistake) if one.level is not Level.OK]
    for locale in languages():
        assert all(one.text(locale) for one in wrong)
    return [one.text("en") for one in wrong], mistake is None


@pytest.mark.cases(6)
@pytest.mark.parametrize(("section", "key"), list(settings()), ids=".".join)
def test_a_value_of_a_wrong_type_is_one_line(tmp_path, section, key):
    path = tmp_path / "mine.toml"
    for value in WRONG:
        path.write_text(f"[{section}]\n{key} = {value}\n")
        lines, readable = told(path)
        if not readable:
            (line,) = lines
            assert line.startswith(f"{path}:"), line
            assert key in line or section in line, line


TABLES = (
    *(section for section in Config.model_fields if section not in {"models", "plugins"}),
    *(f"models.{name}" for name in ("nano", "opensora", "testcard", "wan", "ltx", "kandinsky")),
    "models.testcard.lengths",
)


@pytest.mark.parametrize("table", TABLES)
def test_an_unknown_key_of_a_table_is_one_line(tmp_path, table):
    path = tmp_path / "mine.toml"
    needed = "step = 4\nshortest = 5\nlongest = 9\n" if table.endswith("lengths") else ""
    path.write_text(f"[{table}]\n{needed}stepz = 3\n")
    (line,), _ = told(path)
    assert line.startswith(
        f"{path}:{path.read_text().count(chr(10))}: there is no setting {table}.stepz"
    )


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("[models]\ninstalled = ['nono', 'testcard']", "no model nono"),
        ("[models]\ninstalled = ['nono']\ndefault = 'nono'", "no model nono"),
        ("[models]\ninstalled = ['testcard']\ndefault = 'nono'", "nono"),
        ("[models]\ninstalled = ['wann']\n[models.wann]\nsteps = 3", "models.wann"),
        ("[models]\ninstalled = ['mine']\n[models.mine]\nengine = 'nono'", "models.mine.engine"),
        ("[models.wan]\nstepz = 3", "models.wan.stepz"),
        ("[models.wan]\nloras = [{fil = 'x'}]", "models.wan.loras.0.fil"),
        ("[models]\nwan = 3", "models.wan"),
        ("[plugins]\na = 5", "plugins.a"),
        ("plugins = 5", "plugins"),
        ("bots = 5", "bots"),
        ("[bots]\na = 5", "bots"),
        ("[queue.weights]\nx = 'y'", "queue.weights.x"),
    ],
)
def test_a_mistake_in_names_and_tables_is_one_line(tmp_path, written, named):
    path = tmp_path / "mine.toml"
    path.write_text(written + "\n")
    (line,), _ = told(path)
    assert line.startswith(f"{path}:"), line
    assert named in line


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RUSHES_MODELS__INSTALLED", "nono,testcard"),
        ("RUSHES_MODELS__WAN__STEPZ", "3"),
        ("RUSHES_MODELS__WAN", "3"),
        ("RUSHES_PLUGINS__A", "5"),
        ("RUSHES_PLUGINS", '{"a": 5}'),
        ("RUSHES_QUEUE__WAITNG_TOTAL", "3"),
        ("RUSHES_BOT", "3"),
    ],
)
def test_a_mistake_in_a_variable_is_one_line(tmp_path, monkeypatch, variable, value):
    path = tmp_path / "mine.toml"
    path.write_text("[log]\nlevel = 'info'\n")
    monkeypatch.setenv(variable, value)
    (line,), _ = told(path)
    assert line.startswith(f"{variable}: "), line


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("[assistant]\nmodel = 'x'", "base_url = 'foo'"),
        ("[assistant]\nmodel = 'x'", "api_key = 5"),
        ("[safety]\nopenai = true", "api_key = 5"),
        ("[slack]\nbot_token = 'xoxb-1'", "app_token = 'xoxp-1'"),
        ("[slack]\nbot_token = 'xoxb-1'\nmode = 'http'", "signing_secret = 5"),
        ("[slack]\nclient_id = '1'\napp_token = 'xapp-1'", "client_secret = 5"),
    ],
)
def test_a_wrong_value_is_not_told_to_be_missing_as_well(tmp_path, section, line):
    path = tmp_path / "mine.toml"
    path.write_text(f"{section}\n{line}\n")
    (told_line,), _ = told(path)
    assert line.partition(" ")[0] in told_line


@pytest.mark.parametrize(
    ("sections", "codes"),
    [
        ({"models": {"wan": {"stepz": 3}}}, ["config.unknown_key"]),
        ({"models": {"wan": 3}}, ["config.not_table"]),
        ({"models": {"installed": ["nono"]}}, ["config.unknown_model"]),
        ({"plugins": {"a": 5}}, ["config.not_table"]),
        (
            {"plugins": {"a": 5}, "queue": {"weights": {"chat:x": 1}}},
            ["config.not_table", "config.wrong_type"],
        ),
    ],
)
def test_a_config_made_by_code_is_told_its_mistakes_too(sections, codes):
    assert [one.code for one in problems(Config(**sections))] == codes


def test_what_is_right_beside_a_mistake_counts(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        "[models]\ninstalled = ['nono', 'quick', 'wan']\ndefault = 'quick'\n"
        "[models.quick]\nengine = 'testcard'\nsteps = 7\nstepz = 7\n"
        "[models.wan]\npath = '/somewhere'\nloras = [{fil = 'x'}]\n"
    )
    models = load_usable(path).models
    assert models.installed == ["quick", "wan"]
    assert models.default == "quick"
    assert models.options("quick") == {"engine": "testcard", "steps": 7}
    assert models.options("wan") == {"path": "/somewhere"}

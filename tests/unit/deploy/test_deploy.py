"""Files for operators: the unit, the compose file and the scripts, checked by their own tools."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bot.config.sections import Config
from bot.serve import GRACE_SECONDS

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "deploy" / "rushes.service"


def tool(name: str) -> str:
    """Return a program of this machine; without it the test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    # Verification looks for the program, which is not installed where tests run.
    unit = tmp_path / "rushes.service"
    unit.write_text(UNIT.read_text().replace("/opt/rushes/bin/rushes", sys.executable))
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", unit], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stop_has_more_time_than_rushes_takes():
    [unit] = re.findall(r"TimeoutStopSec=(\d+)s", UNIT.read_text())
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    grace = compose["services"]["rushes"]["stop_grace_period"]
    assert int(unit) > GRACE_SECONDS + 10
    assert int(grace.removesuffix("s")) > GRACE_SECONDS + 10


def test_a_start_is_tried_until_it_succeeds_and_a_killed_worker_ends_no_bot():
    unit = UNIT.read_text()
    [pause] = re.findall(r"^RestartSec=(\d+)s$", unit, re.MULTILINE)
    assert 24 * 3600 / int(pause) < 1000  # logins a day that Discord allows
    assert re.findall(r"^StartLimit.*", unit, re.MULTILINE) == ["StartLimitIntervalSec=0"]
    assert "\nOOMPolicy=continue\n" in unit


def test_prometheus_asks_where_the_container_answers():
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    [mounted] = [v for v in compose["services"]["prometheus"]["volumes"] if v.startswith("./")]
    [job] = yaml.safe_load((ROOT / mounted.split(":")[0]).read_text())["scrape_configs"]
    [target] = job["static_configs"][0]["targets"]
    service, _, port = target.partition(":")
    assert service in compose["services"]
    assert int(port) == Config().http.port


@pytest.mark.process
def test_compose_takes_the_file():
    done = subprocess.run(
        [tool("docker-compose"), "-f", ROOT / "compose.yaml", "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_dockerfile_is_clean():
    done = subprocess.run(
        [tool("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_scripts_are_valid():
    done = subprocess.run(
        ["bash", "-n", ROOT / "deploy" / "image.sh"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_image_has_a_health_check_and_does_not_run_as_root():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert 'CMD ["rushes", "health"]' in dockerfile
    for target in ("bot", "full"):
        *_, user = re.findall(r"^USER (\S+)$", stage(dockerfile, target), re.MULTILINE)
        assert user not in {"root", "0"}


def test_the_image_that_renders_has_a_compiler_for_kernels():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert {"gcc", "libc6-dev"} <= set(stage(dockerfile, "full").split())


def stage(dockerfile: str, name: str) -> str:
    """Return one stage of a Dockerfile."""
    [found] = [part for part in dockerfile.split("\nFROM ") if f" AS {name}\n" in part]
    return found


def test_an_installation_leaves_nothing_in_the_folder_that_belongs_to_root():
    make = [tool("make"), "--dry-run", "install", "PREFIX=/opt/x"]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True)
    made = [line for line in done.stdout.splitlines() if not line.startswith("rm -rf build ")]
    assert not re.findall(r"\.venv|\bbuild\b|\bdist\b", "\n".join(made))

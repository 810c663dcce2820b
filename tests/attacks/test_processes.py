"""What somebody with a file in the right place, or a variable, could make our processes do."""

import json
import os
import platform
import stat
import subprocess
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from PIL import Image

from inference.domain.errors import EngineError, UserError
from inference.domain.watermark import WatermarkSettings
from inference.store.data_directory import make_private
from inference.workers.environment import command, minimal, without_secrets
from inference.workers.media.process import MediaLimits, MediaProcess
from inference.workers.media.sandbox import in_force
from tests.process.worker_samples import Steps, executor, task

pytestmark = pytest.mark.process

KIND = "processes"

NO_REPORTS = "ORT_DISABLE_TELEMETRY"

PLANTED = "import pathlib; pathlib.Path({proof!r}).write_text('executed')\nraise ImportError\n"

MODULES = ("numpy.py", "av.py", "PIL/__init__.py", "sitecustomize.py", "inference/__init__.py")

SECRETS = {
    "DISCORD_TOKEN": "a.b.c",
    "SLACK_SIGNING_SECRET": "0123",
    "OPENAI_API_KEY": "sk-0123",
    "RUSHES_DISCORD__TOKEN": "a.b.c",
    "HF_TOKEN": "hf_0123",
    "DATABASE_PASSWORD": "0123",
    "BACKUP_URL": "https://ann:0123@example.org/",
}


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    assert psutil.Process().children(recursive=True) == []


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (300, 200), "red").save(path)
    return path


@pytest.fixture
async def media():
    async with MediaProcess(MediaLimits(hello_seconds=60)) as media:
        yield media


def plant(folder, module, proof):
    path = folder / module
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PLANTED.format(proof=str(proof)))


def status(pid, name):
    """Return a line of what the kernel says about a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


def variables(pid):
    return psutil.Process(pid).environ()


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(name, marks=pytest.mark.attack(KIND, f"{name} in the working folder"))
        for name in MODULES
    ],
)
async def test_a_planted_module_in_the_working_folder_is_not_executed(
    tmp_path, monkeypatch, photo, media, module
):
    proof = tmp_path / "proof"
    plant(tmp_path / "here", module, proof)
    monkeypatch.chdir(tmp_path / "here")

    await media.clean_image(photo, tmp_path / "clean.png")
    async with executor() as worker:
        await worker.render(task(tmp_path / "jobs"), Steps())

    assert not proof.exists()


@pytest.mark.parametrize(
    "variable",
    [
        pytest.param((name, value), marks=pytest.mark.attack(KIND, f"code through {name}"))
        for name, value in (
            ("PYTHONPATH", "{folder}"),
            ("PYTHONSTARTUP", "{folder}/numpy.py"),
            ("PYTHONINSPECT", "1"),
            ("LD_PRELOAD", "{folder}/evil.so"),
            ("PYTHONUSERBASE", "{folder}"),
        )
    ],
)
async def test_a_variable_brings_no_code_into_the_process_for_strangers_files(
    tmp_path, monkeypatch, photo, media, variable
):
    name, value = variable
    proof = tmp_path / "proof"
    for module in MODULES:
        plant(tmp_path / "evil", module, proof)
    monkeypatch.setenv(name, value.format(folder=tmp_path / "evil"))

    await media.clean_image(photo, tmp_path / "clean.png")

    assert name not in variables(media.pid)
    assert not proof.exists()


@pytest.mark.attack(KIND, "an empty entry of PYTHONPATH, which means the working folder")
async def test_an_empty_entry_of_the_search_path_means_nothing(tmp_path, monkeypatch):
    proof = tmp_path / "proof"
    plant(tmp_path / "here", "numpy.py", proof)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PYTHONPATH", os.pathsep)

    async with executor() as worker:
        await worker.render(task(tmp_path / "jobs"), Steps())

    assert not proof.exists()


@pytest.mark.attack(KIND, "secrets in the environment of the media process")
async def test_the_media_process_inherits_no_variable_it_does_not_need(
    tmp_path, monkeypatch, photo, media
):
    for name, value in {**SECRETS, "SOMETHING_PRIVATE": "0123"}.items():
        monkeypatch.setenv(name, value)

    await media.clean_image(photo, tmp_path / "clean.png")

    found = variables(media.pid)
    assert found.keys().isdisjoint({*SECRETS, "SOMETHING_PRIVATE", "HOME", "PATH"})


@pytest.mark.attack(KIND, "secrets in the environment of the render worker")
async def test_the_render_worker_inherits_no_secret(tmp_path, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")

    async with executor() as worker:
        await worker.render(task(tmp_path), Steps())
        found = variables(worker.pid)

    assert found.keys().isdisjoint(SECRETS)
    assert found["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.parametrize(
    "name",
    ["HF_HOME", "TOKENIZERS_PARALLELISM", "CUDA_HOME", "KEYBOARD", "XDG_CACHE_HOME", "PATH"],
)
def test_what_engines_are_configured_by_is_no_secret(name):
    assert without_secrets({name: "/data/hf_cache"})[name] == "/data/hf_cache"


@pytest.mark.attack(KIND, "telling the makers of a library which models are loaded")
@pytest.mark.parametrize("environment", [minimal, without_secrets])
def test_onnxruntime_reports_to_nobody(environment, tmp_path):
    """It keeps what it is going to send to Microsoft in a folder of the home."""
    runtime = find_spec("onnxruntime")
    if runtime is None:
        pytest.skip("onnxruntime is not installed")
    model = Path(runtime.origin).parent / "datasets" / "mul_1.onnx"
    asked = {name: value for name, value in os.environ.items() if name != NO_REPORTS}

    subprocess.run(
        [sys.executable, "-c", f"import onnxruntime as o; o.InferenceSession({str(model)!r})"],
        env={**environment(asked), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        check=True,
    )

    assert list(tmp_path.iterdir()) == []


@pytest.mark.attack(KIND, "reading clips and references as another user")
async def test_the_files_of_children_are_private(tmp_path, photo, media):
    await media.clean_image(photo, tmp_path / "clean.png")
    job = task(tmp_path / "jobs")
    async with executor() as worker:
        await worker.render(job, Steps())

    assert not open_to_others(tmp_path / "clean.png", *job.directory.iterdir(), job.directory)


@pytest.mark.attack(KIND, "reading the database and its folder as another user")
async def test_all_that_the_data_folder_holds_is_private(bench):
    async with bench.open():
        await bench.submit("a fox")
        found = [bench.directory, *bench.directory.rglob("*")]
        assert not open_to_others(*found)


@pytest.mark.attack(KIND, "reading what an older version left open")
async def test_an_open_data_folder_of_an_older_version_is_closed(bench):
    clip = bench.directory / "jobs" / "7Q2FK9XDAB" / "1" / "clip.mp4"
    clip.parent.mkdir(parents=True)
    clip.write_bytes(b"clip")
    for path in (bench.directory, *bench.directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    async with bench.open():
        assert not open_to_others(bench.directory, *bench.directory.rglob("*"))


@pytest.mark.attack(KIND, "a link in the data folder to somebody else's file")
def test_a_link_in_the_data_folder_changes_nothing_outside(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "file").write_text("theirs")
    (outside / "file").chmod(0o644)
    data = tmp_path / "data"
    (data / "jobs").mkdir(parents=True)
    (data / "jobs" / "link").symlink_to(outside)
    (data / "threads").symlink_to(outside)

    make_private(data)

    assert len(open_to_others(outside, outside / "file")) == 2


def test_a_folder_that_everybody_shares_stays_as_it_is(tmp_path):
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)

    make_private(shared)

    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777


def open_to_others(*paths: Path) -> list[Path]:
    """Return the paths that group or others may use."""
    return [path for path in paths if path.stat().st_mode & 0o077]


# -- what a file that takes the media process over could do --------------------------------------

CONFINED = """
import ctypes, errno, json, os, pathlib, socket, struct, subprocess, sys, threading
from pathlib import Path
from inference.workers.media.sandbox import confine, renounce
source, folder, database, parent = sys.argv[1:]
renounce()
if os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
confine(readable=[Path(source)], writable=[Path(folder)])

def forked():
    if os.fork() == 0:
        os._exit(0)

def threaded():
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()

def bound():
    socket.socket(socket.AF_UNIX).bind(folder + "/socket")

def called(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")

def limited():
    return called(302, int(parent), 7, struct.pack("QQ", 0, 0), None)

def watched():
    libc = ctypes.CDLL(None, use_errno=True)
    folder_of_all = os.path.dirname(database).encode()
    watch = libc.inotify_init()
    if watch < 0 or libc.inotify_add_watch(watch, folder_of_all, 0x100) < 0:
        raise OSError(ctypes.get_errno(), "refused")

def traced():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, int(parent), None, None) < 0:
        raise OSError(ctypes.get_errno(), "refused")

TRIES = {
    "read the source": lambda: Path(source).read_bytes(),
    "write the target": lambda: Path(folder, "clean.png").write_bytes(b"png"),
    "start a thread": threaded,
    "read the database": lambda: Path(database).read_bytes(),
    "list the data folder": lambda: os.listdir(os.path.dirname(database)),
    "write into the data folder": lambda: Path(database + "-wal").write_bytes(b""),
    "delete the database": lambda: os.unlink(database),
    "read the parent's environment": lambda: Path("/proc", parent, "environ").read_bytes(),
    "read the parent's memory": lambda: open(f"/proc/{parent}/mem", "rb"),
    "trace the parent": traced,
    "kill the parent": lambda: os.kill(int(parent), 9),
    "open a socket": socket.socket,
    "open a socket of a file": bound,
    "connect": lambda: socket.create_connection(("127.0.0.1", 9)),
    "start a program": lambda: os.execv("/bin/true", ["true"]),
    "start a shell": lambda: subprocess.run("true", shell=True),
    "fork": forked,
    "read passwords": lambda: Path("/etc/passwd").read_bytes(),
    "read a home": lambda: os.listdir("/root"),
    "write into /tmp": lambda: Path("/tmp/rushes-attack").write_bytes(b""),
    "write over the code": lambda: open(sys.modules["inference"].__file__, "ab"),
    "link to the database": lambda: os.symlink(database, folder + "/link"),
    "make a hard link": lambda: os.link(database, folder + "/link"),
    "change modes": lambda: Path(source).rename(database),
    "make a user namespace": lambda: called(272, 0x10000000),
    "use io_uring": lambda: called(425, 8, None),
    "open the database to everybody": lambda: os.chmod(database, 0o666),
    "open the data folder to everybody": lambda: os.chmod(os.path.dirname(database), 0o777),
    "open it by another call": lambda: called(452, -100, database.encode(), 0o666, 0),
    "give the database away": lambda: os.chown(database, os.getuid(), os.getgid()),
    "change the times of the database": lambda: os.utime(database, (0, 0)),
    "mark the database": lambda: os.setxattr(database, "user.mark", b"x"),
    "signal a thread of the parent": lambda: called(234, int(parent), int(parent), 0),
    "queue a signal for the parent": lambda: called(129, int(parent), 0, bytes(128)),
    "take files from the parent": limited,
    "slow the parent down": lambda: os.setpriority(os.PRIO_PROCESS, int(parent), 19),
    "schedule the parent last": lambda: os.sched_setscheduler(
        int(parent), os.SCHED_IDLE, os.sched_param(0)
    ),
    "bind the parent to one core": lambda: os.sched_setaffinity(int(parent), {0}),
    "share memory": lambda: called(29, 0, 4096, 0o1666),
    "watch the data folder": watched,
    "mount": lambda: called(165, b"none", b"/mnt", b"tmpfs", 0, None),
}
result = {}
for name, attempt in TRIES.items():
    try:
        attempt()
        result[name] = "done"
    except OSError as error:
        result[name] = errno.errorcode[error.errno]
    except Exception as error:
        result[name] = type(error).__name__
print(json.dumps(result))
sys.stdout.flush()
os._exit(0)
"""

ALLOWED = {"read the source", "write the target", "start a thread"}

REFUSED = (
    "read the database",
    "list the data folder",
    "write into the data folder",
    "delete the database",
    "read the parent's environment",
    "read the parent's memory",
    "trace the parent",
    "kill the parent",
    "open a socket",
    "open a socket of a file",
    "connect",
    "start a program",
    "start a shell",
    "fork",
    "read passwords",
    "read a home",
    "write into /tmp",
    "write over the code",
    "link to the database",
    "make a hard link",
    "change modes",
    "make a user namespace",
    "use io_uring",
    "open the database to everybody",
    "open the data folder to everybody",
    "open it by another call",
    "give the database away",
    "change the times of the database",
    "mark the database",
    "signal a thread of the parent",
    "queue a signal for the parent",
    "take files from the parent",
    "slow the parent down",
    "schedule the parent last",
    "bind the parent to one core",
    "share memory",
    "watch the data folder",
    "mount",
)

needs_kernel = pytest.mark.skipif(
    not all(in_force().values()) or platform.machine() != "x86_64",
    reason="this kernel has no Landlock or no seccomp, or other numbers of system calls",
)


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """What came of everything that a process in the sandbox tried."""
    data = tmp_path_factory.mktemp("data")
    database = data / "rushes.sqlite3"
    database.write_bytes(b"everything")
    folder = data / "jobs" / "7Q2FK9XDAB" / "input"
    folder.mkdir(parents=True)
    source = folder / "source"
    source.write_bytes(b"a picture")
    arguments = (str(source), str(folder), str(database), str(os.getpid()))
    ended = subprocess.run(
        [sys.executable, "-c", CONFINED, *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@needs_kernel
@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=pytest.mark.attack(KIND, f"from the media process: {what}"))
        for what in REFUSED
    ],
)
def test_the_sandbox_refuses(tried, what):
    assert tried[what] in {"EPERM", "EACCES", "EXDEV", "ENOSYS"}


@needs_kernel
def test_the_sandbox_allows_what_a_call_needs(tried):
    assert {what for what, came in tried.items() if came == "done"} == ALLOWED
    assert tried.keys() == {*REFUSED, *ALLOWED}


@needs_kernel
@pytest.mark.attack(KIND, "new privileges for the media process")
async def test_the_media_process_gives_up_privileges_sockets_and_programs(photo, tmp_path, media):
    await media.clean_image(photo, tmp_path / "clean.png")

    assert status(media.pid, "NoNewPrivs") == "1"
    assert status(media.pid, "Seccomp") == "2"


@pytest.mark.attack(KIND, "a link to the database in the place of a reference image")
async def test_a_link_in_the_place_of_an_image_is_no_image(photo, tmp_path, media):
    link = tmp_path / "source"
    link.symlink_to(photo)
    with pytest.raises(UserError, match=r"image\.not_an_image"):
        await media.clean_image(link, tmp_path / "clean.png")
    await media.clean_image(photo, tmp_path / "clean.png")


@needs_kernel
@pytest.mark.attack(KIND, "a link that leads the media process's writing elsewhere")
async def test_a_planted_link_leads_no_writing_outside(photo, tmp_path, media):
    outside = tmp_path / "outside"
    outside.write_bytes(b"theirs")
    folder = tmp_path / "input"
    folder.mkdir()
    (folder / "clean.png.part").symlink_to(outside)
    (folder / "clean.png").symlink_to(outside)

    with pytest.raises((UserError, EngineError)):
        await media.clean_image(photo, folder / "clean.png")

    assert outside.read_bytes() == b"theirs"


@pytest.mark.attack(KIND, "PIL and numpy in the working folder while the watermark is checked")
def test_the_check_of_the_watermark_imports_nothing_from_the_working_folder(tmp_path, monkeypatch):
    proof = tmp_path / "proof"
    for module in MODULES:
        plant(tmp_path / "here", module, proof)
    monkeypatch.chdir(tmp_path / "here")
    settings = json.dumps(asdict(WatermarkSettings(text="Studio")))

    ended = subprocess.run(
        command("inference.media.watermark_check"),
        input=settings,
        env=minimal(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert not proof.exists()


@pytest.mark.attack(KIND, "numpy.py in the folder that `python -m bot` is started from")
def test_the_bot_itself_imports_nothing_from_the_working_folder(tmp_path):
    proof = tmp_path / "proof"
    for module in MODULES:
        plant(tmp_path, module, proof)
    root = str(Path(__file__).parents[2])

    ended = subprocess.run(
        [sys.executable, "-m", "bot", "queue"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1, ended.stderr
    assert not proof.exists()

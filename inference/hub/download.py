"""Downloads from the Hugging Face hub. Needs no torch."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from inference.domain.errors import UserError
from inference.hub.large_files import LEAST_BYTES, MOST_BYTES, fetch_large
from inference.opensora.files import (
    ANY_MODEL,
    PATTERNS,
    CheckpointError,
    checkpoint_path,
    weight_files,
)
from inference.proxies import find_proxy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from huggingface_hub.hf_api import ModelInfo, RepoSibling

Found = TypeVar("Found")

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_TOKEN_REFUSED = frozenset({401, 403})
_SHA256 = re.compile(r"[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}")
"""A full commit; git also names files so."""

_CUT_OFF = re.compile(
    r"consistency check failed|incomplete|peer closed|connection (was )?(reset|aborted|broken)"
    r"|disconnected|ended prematurely",
    re.IGNORECASE,
)
_UNKNOWN_HOST = re.compile(
    r"name or service not known|name resolution|nodename nor servname|getaddrinfo|no address"
    r"|name does not resolve",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Files to download from a repository."""

    patterns: tuple[str, ...] = PATTERNS
    """Of file names, as in the shell; "*" also stands for folders."""
    left_out: Callable[[Iterable[str]], Collection[str]] = lambda _names: ()
    """Returns which files are not wanted, of all in a repository that have such a name."""
    revision: str | None = None
    """Commit, tag or branch; None: the main branch."""
    weights: Callable[[Path], list[Path]] = weight_files
    """Returns the files of a folder whose checksums are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Files and bytes that a download would fetch."""

    size_bytes: int
    licence: str | None
    gated: bool
    """Whether terms must be accepted on the hub first."""


def download(source: str, directory: Path | None, selection: Selection | None = None) -> Path:
    """Download what is missing of a checkpoint, going on where an earlier try was cut off.

    When the hub refuses the token of this machine, it is asked once more without: public weights
    need none.

    Args:
        source: Its id on the hub.
        directory: Where to keep it; the hub's cache if None.
        selection: What of it is wanted; None: a single network.

    Raises:
        CheckpointError: Why it cannot be downloaded.
    """
    wanted = selection or Selection()
    return _ask(source, lambda token: _fetch(source, directory, wanted, token=token))


def describe(source: str, selection: Selection) -> Offer:
    """Ask the hub how large a selection is, and for its licence.

    Raises:
        CheckpointError: Why it does not say.
    """
    import huggingface_hub  # noqa: PLC0415 - takes a while, and only those with models need it

    def ask(token: bool | None) -> Offer:  # noqa: FBT001 - the client's own type
        api = huggingface_hub.HfApi(token=token)
        info = api.model_info(source, revision=selection.revision, files_metadata=True)
        card = info.card_data
        licence = None if card is None else card.get("license_name") or card.get("license")
        return Offer(
            size_bytes=sum(file.size or 0 for file in _select_files(info, selection)),
            licence=licence,
            gated=bool(info.gated),
        )

    return _ask(source, ask)


def _ask(source: str, ask: Callable[[bool | None], Found]) -> Found:
    """Send a request with this machine's token, and again without if the token is refused."""
    import huggingface_hub  # noqa: PLC0415 - see above

    try:
        return ask(None)
    except Exception as error:
        found = explain(source, error)
        if _status(error) not in _TOKEN_REFUSED or huggingface_hub.get_token() is None:
            raise found from error
    try:
        return ask(False)  # noqa: FBT003 - the client's own word for none
    except Exception as error:
        bare = explain(source, error)
        # Without a token the hub calls everything that is not public unknown.
        private = bare.code in {"checkpoint.not_found", "checkpoint.token_refused"}
        raise (found if private else bare) from error


def explain(source: str, error: BaseException) -> CheckpointError:
    """Return why a download failed, in our terms."""
    if isinstance(error, CheckpointError):
        return error
    return (
        _on_this_disk(source, error)
        or _network_error(source, error)
        or _response_error(source, error)
        or CheckpointError("checkpoint.offline", source=source)
    )


def verify_checksums(
    source: str, folder: Path, weights: Callable[[Path], list[Path]] = weight_files
) -> int:
    """Compare the weights of a folder with the checksums that the hub gave for them.

    Returns:
        How many files have none, because they did not come from the hub.

    Raises:
        CheckpointError: `checkpoint.checksum`, or `checkpoint.unreadable`.
    """
    unknown = 0
    for path in weights(folder):
        wanted = _checksum(folder, path)
        unknown += wanted is None
        try:
            if wanted is not None and _digest(path) != wanted:
                name = path.relative_to(folder).as_posix()
                raise CheckpointError(
                    "checkpoint.checksum", source=source, file=name, model=ANY_MODEL
                )
        except OSError as error:
            raise CheckpointError(
                "checkpoint.unreadable", source=path.name, reason=error.strerror or "unreadable"
            ) from error
    return unknown


def _fetch(source: str, directory: Path | None, wanted: Selection, *, token: bool | None) -> Path:
    import huggingface_hub  # noqa: PLC0415 - see above

    # The client makes do with what is here when the hub refuses; so the hub is asked first.
    api = huggingface_hub.HfApi(token=token)
    info = api.model_info(source, revision=wanted.revision, files_metadata=True)
    large = [
        file.rfilename
        for file in _select_files(info, wanted)
        if LEAST_BYTES <= (file.size or 0) <= MOST_BYTES
    ]
    if info.sha is not None:
        fetch_large(source, large, info.sha, directory, token=token)
    found = Path(
        huggingface_hub.snapshot_download(
            source,
            revision=wanted.revision,
            allow_patterns=list(wanted.patterns),
            ignore_patterns=sorted(_left_out(info, wanted)),
            local_dir=None if directory is None else checkpoint_path(source, directory),
            token=token,
        )
    )
    try:
        verify_checksums(source, found, wanted.weights)
    except CheckpointError as error:
        if error.code == "checkpoint.checksum":
            discard(found, found / error.params["file"])
        raise
    return found


def _select_files(info: ModelInfo, selection: Selection) -> Iterator[RepoSibling]:
    """Yield the hub's entries of the selected files."""
    left_out = _left_out(info, selection)
    return (file for file in _match_names(info, selection) if file.rfilename not in left_out)


def _left_out(info: ModelInfo, selection: Selection) -> Collection[str]:
    return selection.left_out(file.rfilename for file in _match_names(info, selection))


def _match_names(info: ModelInfo, selection: Selection) -> Iterator[RepoSibling]:
    """Yield the hub's entries of the files with a selected name."""
    for file in info.siblings or ():
        if any(fnmatch(file.rfilename, pattern) for pattern in selection.patterns):
            yield file


def _on_this_disk(source: str, error: BaseException) -> CheckpointError | None:
    for one in _chain(error):
        code = one.errno if isinstance(one, OSError) else None
        path = str(getattr(one, "filename", None) or "")
        if code in _FULL:
            return CheckpointError("checkpoint.disk_full", source=source)
        if code in _FORBIDDEN and path:
            return CheckpointError("checkpoint.no_permission", source=source, path=path)
        if code is not None and path:
            return CheckpointError(
                "checkpoint.unwritable", source=source, path=path, reason=os.strerror(code)
            )
    return None


def _network_error(source: str, error: BaseException) -> CheckpointError | None:
    """Return the network error that interrupted a request, or None."""
    if _status(error) not in {0, 407}:
        return None
    chain = list(_chain(error))
    names = {type(one).__name__ for one in chain}
    words = " ".join(str(one) for one in chain)
    found: CheckpointError | None = None
    if _at_the_proxy(names) or _status(error):
        found = CheckpointError("checkpoint.proxy", source=source)
    elif "OfflineModeIsEnabled" in names:
        found = CheckpointError("checkpoint.offline_mode", source=source)
    elif any(isinstance(one, socket.gaierror) for one in chain) or _UNKNOWN_HOST.search(words):
        found = CheckpointError("checkpoint.unknown_host", source=source, url=_endpoint())
    elif any(isinstance(one, ssl.SSLError) for one in chain) or "CERTIFICATE" in words:
        found = CheckpointError("checkpoint.certificate", source=source, url=_endpoint())
    elif names & {"RemoteProtocolError", "ReadError"} or _CUT_OFF.search(words):
        found = CheckpointError("checkpoint.cut_off", source=source)
    return found


def _at_the_proxy(names: set[str]) -> bool:
    """Return whether a request failed at the proxy: with one, that is all we connect to."""
    try:
        proxied = find_proxy(_endpoint()) is not None
    except UserError:
        proxied = True
    return "ProxyError" in names or (proxied and "ConnectError" in names)


def _response_error(source: str, error: BaseException) -> CheckpointError | None:
    """Return the error for the hub's response; None without a response."""
    status = _status(error)
    names = {type(one).__name__ for one in _chain(error)}
    if "GatedRepoError" in names:
        return CheckpointError("checkpoint.gated", source=source, url=f"{_endpoint()}/{source}")
    if status == 404 or names & {"RepositoryNotFoundError", "DisabledRepoError"}:  # noqa: PLR2004
        return CheckpointError("checkpoint.not_found", source=source)
    if status in _TOKEN_REFUSED:
        return CheckpointError("checkpoint.token_refused", source=source)
    if status == 429:  # noqa: PLR2004 - too many requests
        return CheckpointError("checkpoint.rate_limited", source=source)
    if status >= 500:  # noqa: PLR2004 - errors of the server
        return CheckpointError("checkpoint.hub_down", source=source, status=status)
    return None


def _status(error: BaseException) -> int:
    """Return the status of the HTTP answer behind an error; 0 for none."""
    for one in _chain(error):
        status = getattr(getattr(one, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return 0


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes."""
    following: BaseException | None = error
    seen: set[int] = set()
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__


def _metadata(folder: Path, path: Path) -> Path:
    """Return where the hub's client notes what a file of a plain folder is."""
    name = f"{path.relative_to(folder).as_posix()}.metadata"
    return folder / ".cache" / "huggingface" / "download" / name


def _checksum(folder: Path, path: Path) -> str | None:
    """Return the SHA-256 that the hub gave for a file; large files have one."""
    found = path.resolve().name  # the hub's cache names the file itself by it
    if not _SHA256.fullmatch(found):
        found = (_record(folder, path) or ["", ""])[1]
    return found if _SHA256.fullmatch(found) else None


def read_commit(folder: Path, path: Path) -> str | None:
    """Return the commit that a file of a plain folder was downloaded at, if it is known."""
    found = (_record(folder, path) or [""])[0]
    return found if COMMIT.fullmatch(found) else None


def is_as_downloaded(folder: Path, path: Path) -> bool | None:
    """Return whether a small file is still what the hub has; None if that is not known."""
    wanted = path.resolve().name  # see `_checksum`
    if not (_SHA256.fullmatch(wanted) or COMMIT.fullmatch(wanted)):
        wanted = (_record(folder, path) or ["", ""])[1]
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if _SHA256.fullmatch(wanted):
        return hashlib.sha256(data).hexdigest() == wanted
    if COMMIT.fullmatch(wanted):  # git's name of a file
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
        return blob.hexdigest() == wanted
    return None


def _record(folder: Path, path: Path) -> list[str] | None:
    """Return the hub client's note of a file: its commit, its checksum, and when it came."""
    try:
        lines = _metadata(folder, path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return [line.strip() for line in lines] if len(lines) > 1 else None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def discard(folder: Path, path: Path) -> None:
    """Delete a damaged file, so that the next try downloads it again."""
    for wrong in (path.resolve(), path, _metadata(folder, path)):
        wrong.unlink(missing_ok=True)

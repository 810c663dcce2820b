"""Tells from Slack's file objects whether a file can be used as an image, or why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference.domain.errors import UserError

STUB = "check_file_info"
"""`file_access` of a file of another company's: only `files.info` knows more."""

_SERVICES = {
    "box": "Box",
    "dropbox": "Dropbox",
    "gdrive": "Google Drive",
    "onedrive": "OneDrive",
    "sharepoint": "SharePoint",
}
"""Where external files are, by Slack's `external_type`."""

_TEXTS = frozenset({"canvas", "docs", "email", "list", "post", "quip", "snippet", "space"})
"""Modes of what was written on Slack itself or mailed to it."""

_GONE = frozenset({"file_deleted", "file_is_deleted"})

_HIDDEN = frozenset(
    {
        "access_denied",
        "file_not_found",
        "not_visible",
        "slack_connect_file_link_sharing_blocked",
    }
)
"""Errors of `files.info` that also say that a file may be there for others."""


class UploadUnfinished(Exception):
    """Slack does not have all of a file yet."""


def refusal(file: Mapping[str, Any]) -> UserError | None:
    """Return why a file cannot be fetched or is certainly no image; None if neither is known."""
    mode = str(file.get("mode") or "")
    error: UserError | None = None
    if mode == "tombstone" or file.get("deleted"):
        error = UserError("image.deleted")
    elif mode == "hidden_by_limit":
        error = UserError("image.hidden_by_plan")
    elif file.get("file_access") in {"access_denied", "file_not_found"}:
        error = UserError("image.not_visible")
    elif mode in _TEXTS:
        error = UserError("image.not_an_image")
    elif service := _service(file):
        error = UserError("image.external", service=service)
    elif mode == "external" or file.get("is_external"):
        error = UserError("image.linked")
    return error


def _service(file: Mapping[str, Any]) -> str | None:
    """Return where a file is kept instead of on Slack, if that is known."""
    if "gdoc" in {file.get("mode"), file.get("filetype")}:
        return _SERVICES["gdrive"]
    return _SERVICES.get(str(file.get("external_type") or ""))


def refusal_by_code(code: str | None) -> UserError | None:
    """Return the refusal of an image for an error code of `files.info`, or None."""
    if code in _GONE:
        return UserError("image.deleted")
    return UserError("image.not_visible") if code in _HIDDEN else None


def is_picture(file: Mapping[str, Any]) -> bool:
    """Whether a file is an image that can be fetched."""
    return refusal(file) is None and str(file.get("mimetype") or "").startswith("image/")


def is_uploading(file: Mapping[str, Any]) -> bool:
    """Whether Slack does not have all of a file yet, or has not looked into it."""
    return refusal(file) is None and not (file.get("mimetype") or file.get("file_access"))

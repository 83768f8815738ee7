"""File names as schools, and whoever means harm, write them: which are refused, and how one is shown."""

from __future__ import annotations

import re
import unicodedata

from etl_lib.config.letters import composed

# What upload programs write while they are not done, and what systems leave beside the files.
_UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload", ".partial", ".swp")
_LITTER = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
_ENCRYPTED = (".pgp", ".gpg", ".asc")
_LONGEST_NAME_BYTES = 255
_LONGEST_PATH_BYTES = 1024
# Control signs, marks that turn the direction or show nothing, halves of a letter, line separators:
# a name with one of them is not the name that a person reads.
_UNREADABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")
_LONGEST_SHOWN = 80
TEST_FOLDER = "test"  # in each inbox: files that are checked and answered, never loaded


def is_passed_over(name: str) -> bool:
    """Whether a file is none of ours and nothing to speak of: hidden, unfinished, a system's litter."""
    lower = name.lower()
    if name in (".", ".."):
        return False
    return not name or name.startswith(".") or lower.endswith(_UNFINISHED) or lower in _LITTER


def why_refused(name: str) -> str | None:
    """Why a file of this name is not touched, in words; None: it is a name that an export has."""
    if name in ("", ".", ".."):
        return "it is no file name"
    if any(unicodedata.category(sign) in _UNREADABLE for sign in name):
        return "it holds signs that cannot be seen"
    if "/" in name or "\\" in name:
        return "it holds a slash or a backslash"
    if len(name.encode(errors="replace")) > _LONGEST_NAME_BYTES:
        return f"it is longer than {_LONGEST_NAME_BYTES} bytes"
    if _DEVICE.match(name):
        return "it is the name of a device"
    return None


def why_path_refused(path: str) -> str | None:
    """The same for a name with folders, as archives hold it; both kinds of slashes part folders."""
    if path.startswith(("/", "\\")) or _DRIVE.match(path):
        return "it begins at the root of a disk"
    if len(path.encode(errors="replace")) > _LONGEST_PATH_BYTES:
        return f"it is longer than {_LONGEST_PATH_BYTES} bytes"
    parts = _parts(path)
    if ".." in parts:
        return "it leads out of its folder"
    return next(
        (why for part in parts if part not in ("", ".") and (why := why_refused(part))), None
    )


def is_path_passed_over(path: str) -> bool:
    """Whether a file of an archive, or a folder around it, is nothing to speak of."""
    return any(is_passed_over(part) for part in _parts(path) if part)


def own_name(path: str) -> str:
    """The last part of a name with folders."""
    return _parts(path)[-1]


def same_as(name: str) -> str:
    """What two names share that people take for the same: composed letters, no case."""
    return composed(composed(name).casefold())


def is_encrypted(name: str) -> bool:
    """Whether a file is an OpenPGP message by its name."""
    return name.lower().endswith(_ENCRYPTED)


def inner_name(name: str) -> str:
    """The name without the ending of encryption: `students.csv` for `students.csv.pgp`."""
    return name[: name.rfind(".")] if is_encrypted(name) else name


def shown(name: str) -> str:
    """A name that is safe to print: what cannot be seen is written as its number, and not too much."""
    signs = (
        s if s.isprintable() and s != "`" else f"\\u{{{ord(s):x}}}" for s in name[:_LONGEST_SHOWN]
    )
    return f"`{''.join(signs)}{'…' if len(name) > _LONGEST_SHOWN else ''}`"


def _parts(path: str) -> list[str]:
    return re.split(r"[/\\]", path)

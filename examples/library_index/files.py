"""Which files there are to index."""

import sysconfig
from pathlib import Path

BROKEN = {
    "broken_syntax.py": b"def f(:\n    return 1\n",
    "broken_encoding.py": b"name = '\xf6'\n",
}


def library_files() -> list[Path]:
    """The source files of the standard library of this Python, its tests included if it has them."""
    library = Path(sysconfig.get_paths()["stdlib"])
    return [
        path
        for path in sorted(library.rglob("*.py"))
        if not {"site-packages", "dist-packages"} & set(path.parts) and path.is_file()
    ]


def choose_files(files: list[Path], limit: int | None, *, folder: Path) -> list[Path]:
    """Up to `limit` of the files, from all over the library, with a few first that cannot be parsed.

    Some Pythons come without the library's tests, and so without broken files: then two are made in
    `folder`.
    """
    broken = [path for path in files if _is_meant_to_break(path)] or _make_broken(folder)
    sound = [path for path in files if path not in set(broken)]
    if limit is None or limit >= len(broken) + len(sound):
        return broken + sound
    broken = broken[: max(1, limit // 10)]
    wanted = limit - len(broken)
    return broken + [sound[number * len(sound) // wanted] for number in range(wanted)]


def _is_meant_to_break(path: Path) -> bool:
    return path.parent.name == "tokenizedata" and path.name.startswith("bad")


def _make_broken(folder: Path) -> list[Path]:
    for name, source in BROKEN.items():
        (folder / name).write_bytes(source)
    return [folder / name for name in BROKEN]

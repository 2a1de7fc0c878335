"""Where the command `generate` writes: tested before anything is sent, and before it asks."""

from __future__ import annotations

import os
from pathlib import Path


def check_folders(save_to: str, results: Path) -> None:
    """Test where results and their list go, and make no folder. Raises `InvalidInputError`.

    A store elsewhere is tested as a run does, with a small file that is removed at once.
    """
    from oxen_inference.errors import InvalidInputError
    from oxen_inference.media.fetch import check_folder
    from oxen_inference.media.results.remote import as_path, as_url

    if as_url(save_to) is not None:
        check_folder(save_to)
    else:
        _check(as_path(save_to).absolute(), "save_to")
    _check(results.parent, "--results")
    if os.path.isdir(results):  # noqa: PTH112 - same
        raise InvalidInputError(f"--results names a file, and {results} is a folder.")


def _check(folder: Path, option: str) -> None:
    from oxen_inference.errors import InvalidInputError

    there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    if not os.path.isdir(there):  # noqa: PTH112 - which raises nothing
        reason = "it is no folder"
    elif not os.access(there, os.W_OK | os.X_OK):
        reason = "Permission denied"
    else:
        return
    raise InvalidInputError(
        f"{option} must be a folder that can be written; {there}: {reason}. Nothing was sent."
    )

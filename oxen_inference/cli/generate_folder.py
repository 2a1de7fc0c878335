"""Where the command `generate` saves: tested before anything is sent."""

from __future__ import annotations

import os


def check_folder_without_making_it(save_to: str) -> None:
    """Test a folder, or where it would be made. Raises `InvalidInputError`.

    A store elsewhere is tested as a run does, with a small file that is removed at once.
    """
    from oxen_inference.errors import InvalidInputError
    from oxen_inference.media.fetch import check_folder
    from oxen_inference.media.results.remote import as_path, as_url

    if as_url(save_to) is not None:
        check_folder(save_to)
        return
    folder = as_path(save_to).absolute()
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir():
        raise InvalidInputError(f"save_to must be a folder that can be written; {there}: a file.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InvalidInputError(
            f"save_to must be a folder that can be written; {there}: Permission denied."
        )

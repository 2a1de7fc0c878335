"""The browser that looks at our pages: the one that is installed, else the one playwright brings."""

from __future__ import annotations

import shutil
from typing import Any

_INSTALLED = shutil.which("chromium") or shutil.which("google-chrome")

# Arguments of playwright's `chromium.launch`. A container's root has no sandbox for its browser.
BROWSER: dict[str, Any] = {"executable_path": _INSTALLED, "args": ["--no-sandbox"]}

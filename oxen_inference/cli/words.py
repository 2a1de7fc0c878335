"""What errors say of Python, in the words of the command line."""

from __future__ import annotations

import re

_ID = r"\(\[?['\"]?(?P<id>[^'\",\])]+)['\"]?[^)]*\)"
_TABLE = (
    (r"client\.media\.reconcile\(save_to=(?:…|\.\.\.)\)", "`oxen-inference reconcile --save-to FOLDER`"),
    (r"client\.media\.reconcile\(\)", "`oxen-inference reconcile`"),
    (r"client\.media\.forget\(entry_id\)", "`oxen-inference forget ENTRY_ID`"),
    (rf"client\.media\.forget{_ID}", r"`oxen-inference forget \g<id>`"),
    (r"client\.media\.adopt\(entry_id, generation_ids\)",
     "`oxen-inference adopt ENTRY_ID GENERATION_ID`"),
    (r"adopt\(\) and forget\(\)", "`oxen-inference adopt` and `oxen-inference forget`"),
    (r"client\.media\.attach\((?:generation_ids|entry_id)=\[?'(?P<id>[^']+)'[^)]*\)(?:\.wait\([^)]*\))?",
     r"`oxen-inference fetch \g<id>`"),
    (r"ask for the same job again: client\.media\.resume, attach or the same key",
     "run the same command again, or `oxen-inference fetch`"),
    (rf"client\.media\.resume{_ID}", r"`oxen-inference fetch \g<id>`"),
    (r"(generations? goe?s? on at Oxen): .*?\. ", r"\1. "),
    (r"The same requests with key_prefix='[^']*' go on with them",
     "The same command goes on with them"),
    (r"client\.catalog\.list\(output='image'\) lists those that do; so does output='video'",
     "`oxen-inference models --output image` lists those that do, and so does --output video"),
    (r"client\.catalog\.get\(['\"]([^'\"]+)['\"][^)]*\) tells", r"`oxen-inference models` tells"),
    (r"Say the most that one may cost, price_caps=\{\.\.\.\}, or pass allow_unknown_cost=True",
     "Pass --allow-unknown-cost"),
    (r"allow_unknown_cost=True", "--allow-unknown-cost"),
    (r"Raise its limit \(Budget\.change_limit\)", "Raise its limit"),
    (r"Use that limit or another name, or change it: Budget\(.*?\)\.change_limit\([^)]*\)",
     "Use that limit or another name, or change it with `oxen-inference budgets --change`"),
    (r", or Ledger\(url\)\.setup\(\), once", ", once"),
    (r"; Budget\(release_failed_after=\.\.\.\) does so after a time", ""),
    (r"Raise max_cost\b", "Raise --max-cost"),
    (r"Leave out ledger=None, or pass ledger=Ledger\(path\) with a path that can be written",
     "Set OXEN_STATE_DIR to a folder that can be written"),
    (r"Pass a URL, a data URL, or a pathlib\.Path with allow_paths=True",
     "Give a URL or a data URL"),
    (r"\bsave_to\b", "--save-to"),
    (r"\bfile_name '", "--name '"),
    (r"\bmax_in_flight\b", "--max-in-flight"),
    (r"\bmax_connections\b", "--max-connections"),
    (r"^attempts must", "--attempts must"),
    (r"Use generate without a key, or a run without key_prefix",
     "Commands give each request a key. Use generate in Python, without one"),
    (r", or pass api_key=\.\.\.", ""),
    (r"\bpip install 'oxen-integrations\[storage\]'", "Run: pip install 'oxen-integrations[storage]'"),
)  # fmt: skip
WORDS = tuple((re.compile(pattern), words) for pattern, words in _TABLE)
"""What is said of Python → what is said instead."""


def in_commands(text: str) -> str:
    """Return an error's text with commands and options in place of calls and arguments."""
    for pattern, words in WORDS:
        text = pattern.sub(words, text)
    return text

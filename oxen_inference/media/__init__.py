"""Paid media: generated once, never over its budget, never lost.

A request goes through `request` (checks, quote), `journal` and `budget` (written down before it
is sent), `sending` (sent once; `enqueue` and `lookup` decide what became of it), `waiting` on the
one `watch`er of the client, and `fetching`. All of it is computations of `steps`, which `runner`
runs by blocking or by awaiting; `api` is what `client.media` is.
"""

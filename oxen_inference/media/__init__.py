"""Paid media: generated once, never over its budget, never lost.

`facade` is `client.media`. A request goes through `prepare` (checked and priced), `submit` (sent
once; `queue_decision` decides what an answer means, `lost_jobs` looks for a job whose answer was
lost), `wait` (on the one `poller` of the client, which `background` keeps going) and `fetch`
(downloaded and kept by `results`). `generate` is the whole course; `reconcile` repeats its second
half later.
"""

"""The models: what there is, what it costs, what it takes.

`api` and `async_api` are what `client.catalog` is; `cache` fetches once for everyone; `models`
reads whatever a hub sends; `pricing` quotes; `request_schema` checks parameters and makes tool
arguments of them; `profiles` says what a model can do; `find_models` ranks by need.
"""

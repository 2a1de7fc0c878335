"""The models: what there is, what it costs, what it takes.

`api` and `async_api` are what `client.catalog` is; `cache` fetches once for everyone; `models`
reads whatever a hub sends; `request_schema` checks parameters and makes tool arguments of them;
`pricing` quotes, by what `call_fields` knows of a call, `pricing_amounts` of how much it makes and
`pricing_looks` of which price applies; `chat_cost` counts; `profiles` says what a model can do;
`find_models` ranks by need.
"""

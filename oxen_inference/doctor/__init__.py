"""`oxen-inference doctor`: what in this hub differs from what the library assumes.

`findings` is what a check says, `catalog_checks` needs no key, `account_checks` sends requests that
cost nothing, `ledger_checks` reads the ledger, `purchase` buys one image, after asking. `examine`
runs them.
"""

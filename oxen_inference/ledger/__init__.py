"""The write-ahead ledger of paid generations, and the budgets that limit them.

`store` has every move of an entry, on the tables of `schema`; `entries` is what it reads and
writes, `generations`, `conversations` and `accounts` are its rows, `leases` says who is at work.
`budgets` is the face of an account.
"""

"""The ledger of paid generations, and the budgets that limit them."""

"""What sharing a ledger costs: reservations under a full budget, and requests of many waiters."""

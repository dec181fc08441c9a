"""Training: from tokens to the checkpoint that scores best on validation; start at `api`."""

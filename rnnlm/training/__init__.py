"""Training: tokens in, the checkpoint that was best on validation out; begin at `api`."""

"""What every flow needs around it: the home, workers, reporting, retries, notices."""

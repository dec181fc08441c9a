"""What every flow needs: the home folder, workers, reporters, retries and notifications."""

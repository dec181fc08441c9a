"""Where `make base` puts trained models for others to start from."""

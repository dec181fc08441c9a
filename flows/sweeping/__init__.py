"""What a sweep is made of: the space it varies, its trials, the study that remembers them."""

"""The parts of a sweep: the space it searches, its trials, and the study that records them."""

"""The parts of a sweep, which trains with many settings to find the best.

space      the settings that a sweep varies, and the values that they may take
trial      one training run with particular values of these settings, and its outcome
study      the database that records the trials of a sweep and proposes the next one
picture    a picture of all trials
"""

"""Examine a home and repair what can be repaired: what `rnnlm doctor` does.

    findings.py         what a check found
    database_checks.py  MLflow's and Prefect's databases and their backups; the studies of sweeps
    contents.py         files of steps, versions and data sets, compared with their digests
    surroundings.py     format, permissions, free space, locks, leftovers
    examination.py      all checks, one after the other

A check only reads. It returns findings, and a finding that is a problem may hold the function that
repairs it.
"""

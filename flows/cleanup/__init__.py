"""Housekeeping: find and remove files, MLflow runs and flow runs that are no longer needed.

`referenced` decides what must stay. `leftovers` lists the rest, each item with its size, its age
and the reason for its removal. `removing` removes these items, in such a way that a process killed
at any moment leaves each of them either whole or removed. `prefect_runs` handles the flow runs in
Prefect's database, and `databases` returns free space within SQLite files to the disk.
"""

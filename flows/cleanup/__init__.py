"""Housekeeping: what must stay, what can be removed and why, and how it is removed.

`referenced` decides what must stay. `leftovers` lists the rest, each with its size, its age and the
reason. `removing` removes it; a kill at any moment leaves each thing either whole or removed.
`prefect_runs` handles Prefect's database, and `databases` free space within SQLite files.
"""

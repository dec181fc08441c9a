"""Keeping the disk flat: what must stay, what could go and why, and how it goes.

`referenced` reads what is there and decides what must stay; `leftovers` lists the rest, each with
its size, its age and the reason; `removing` takes it away, so that a kill at any moment leaves a
thing whole or gone. What lies in Prefect's database is `prefect_runs`' matter, free space within
SQLite files `databases`'.
"""

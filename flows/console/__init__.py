"""What the user sees on the console: results, tables, progress bars, hints and errors.

Handling of Ctrl-C and SIGTERM is here too.
"""

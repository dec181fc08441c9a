"""What people see: lines, tables, swatches and bars; how a command ends."""

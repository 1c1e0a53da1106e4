"""What commands and Python print: progress, tables, results, warnings, suggested commands."""

"""What every stage stands on: files, keyed arrays, errors, arguments, processes."""

"""Pages of measurements: a command writes each page's tables and pictures; the text is written by hand."""

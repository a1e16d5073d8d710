"""The tables that recipes share, each in the module that builds what the table describes."""

"""The commands of `training`, one file each.

Everything heavy is imported inside the commands, so that `lectorium --help` needs none of it.
"""

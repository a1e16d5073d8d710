"""The bench: that every figure can be had, is checked, and that a miss is told as one."""

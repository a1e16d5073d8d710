"""Masks as other programs take them: run lengths, polygons, connected components.

Arrays in, plain values out. Its limits are on what a mask of noise would make of the answer.
"""

"""The layers that families share: activations, normalisations, dropout, starts, heads, recurrent cells."""

"""The layers that families share: activations, normalisations, dropout, initialisation, heads, recurrent cells."""

"""HTTP: the server of all ports, and what port 3000 answers: tasks, cards, pages and probes."""

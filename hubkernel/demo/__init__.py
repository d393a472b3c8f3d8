"""The demo: the Human Phenotype Ontology, from its files to a searched collection. ``hubkernel demo`` runs it."""

"""The results folder: files, tables, provenance, merging."""

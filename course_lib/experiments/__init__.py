"""The experiments behind the ledger, chapter by chapter: what each claim was put to, and what came of it."""

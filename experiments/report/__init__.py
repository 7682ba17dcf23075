"""What came out: results, tables, reports, evaluations."""

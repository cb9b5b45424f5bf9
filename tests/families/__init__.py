"""Model families against their reference implementations, with seeded weights and recorded outputs."""

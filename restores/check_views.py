"""Pages of the checks that proofs make."""

"""What is computed from runs: products, addition, figures, batches; and what notebooks need."""

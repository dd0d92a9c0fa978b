"""What the method stands on: disk, memory, compiler, transformers. Plain tensors and names."""

"""What will a sum or a merge cost each task? Answered without labels."""

"""Does fine-tuning with the τJp penalty repair plain addition? The whole story on a few small tasks."""

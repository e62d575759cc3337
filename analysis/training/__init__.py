"""How does the fine-tuning of one task go?"""

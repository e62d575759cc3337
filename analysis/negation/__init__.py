"""What does a model forget when a vector is subtracted?"""

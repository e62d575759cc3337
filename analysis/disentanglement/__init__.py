"""Do two vectors, each at a coefficient of its own, leave each other's task alone?"""

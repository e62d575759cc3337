"""How good is the sum of several vectors, over the coefficient?"""

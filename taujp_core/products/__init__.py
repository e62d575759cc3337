"""What do products with the encoder's Jacobian cost, and in which numbers are they computed?"""
